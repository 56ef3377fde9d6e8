"""One block of an open_clip tower, with access to its queries, keys and values.

Axis letters as in adapt/clip/encoders.py: b batch, c classes, s sequence, t prompt tokens, d width, h heads, e width
of a head, m candidates.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Block = Any  # open_clip's ResidualAttentionBlock: to a type checker every attribute of a module is "Tensor | Module"
Adapter = Callable[[Tensor], Tensor]  # maps ln_1's output [..., s, d] to the addend of q, k, v [..., s, 3d]


class Mixture(NamedTuple):
    """Candidates for one layer's key/value prompt, with their weights.

    The attention outputs over the candidates are mixed (DPL's relaxation).
    """

    candidates: list[Tensor]  # [t, d] each
    weights: Float[Tensor, " m"]


LayerPrompt = Tensor | Mixture
QKV = Float[Tensor, "3 ... _ _ _"]  # queries, keys and values [h, s, e] of some tokens


class ScaledSiLU(torch.autograd.Function):
    """silu(a·x)/a, whose derivative is silu'(a·x).

    It saves one tensor for the backward pass, which is one operation.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: float) -> Tensor:
        """Apply the activation elementwise."""
        y = a * x
        ctx.save_for_backward(y)
        return F.silu(y).div_(a)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of x, and None for a."""
        return torch.ops.aten.silu_backward(gradients[0], *ctx.saved_tensors), None


class QuickGELU(nn.Module):
    """open_clip's QuickGELU, x·σ(1.702·x), in less memory and time."""

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """Apply the activation elementwise."""
        return ScaledSiLU.apply(x, 1.702)


def project(
    block: Block, x: Float[Tensor, "... d"], prompts: Sequence[Float[Tensor, "... _ d"]], adapter: Adapter | None
) -> tuple[QKV, list[QKV | None]]:
    """Return the queries, keys and values of tokens and of prompts.

    An empty prompt yields None. One matrix product projects all tokens, so that the block's weights are read once.
    """
    groups = [x, *(prompt for prompt in prompts if prompt.shape[-2])]
    rows = torch.cat([tokens.flatten(0, -2) for tokens in groups]) if len(groups) > 1 else x
    y = block.ln_1(rows)
    qkv = F.linear(y, block.attn.in_proj_weight, block.attn.in_proj_bias)
    if adapter is not None:
        qkv = qkv + adapter(y)
    parts = (
        qkv.flatten(0, -2)
        .unflatten(-1, (3, block.attn.num_heads, -1))
        .split([tokens.shape[:-1].numel() for tokens in groups])
    )
    own, *found = (
        part.unflatten(0, tokens.shape[:-1]).movedim(-3, 0).transpose(-3, -2)
        for part, tokens in zip(parts, groups, strict=True)
    )
    left = iter(found)
    return own, [next(left) if prompt.shape[-2] else None for prompt in prompts]


def attention(
    own: Sequence[QKV],
    prompts: Sequence[QKV | None],
    weights: Float[Tensor, " m"] | None,
    masks: Sequence[Float[Tensor, "... q _"] | None],
    queries: int,
) -> Float[Tensor, "r q d"]:
    """Compute the attention of the first `queries` tokens, with concatenated heads.

    They attend to all tokens of `own` and to a prompt. The parts of `own` are concatenated in order; a part without a
    row axis is expanded to all rows. With `weights`, the outputs over several `prompts` are mixed.
    masks: for each prompt, the addend to the attention logits; None for nothing.
    """
    outputs = []
    for prompt, mask in zip(prompts, masks, strict=True):
        q, k, v = join([*own, prompt] if prompt is not None else own).unbind()
        outputs.append(F.scaled_dot_product_attention(q[..., :queries, :], k, v, attn_mask=mask))
    mixed = outputs[0] if weights is None else torch.tensordot(weights, torch.stack(outputs).to(weights), dims=1)
    return mixed.transpose(-3, -2).flatten(-2)


def join(parts: Sequence[QKV]) -> Float[Tensor, "3 r h s e"]:
    """Concatenate queries, keys and values along the sequence, expanded to all rows.

    One copy does this for all three.
    """
    if len(parts) == 1:
        return parts[0]
    rows = max(part.shape[1] for part in parts if part.dim() == 5)
    parts = [part if part.dim() == 5 else part.unsqueeze(1) for part in parts]
    return torch.cat([part.expand(-1, rows, -1, -1, -1) for part in parts], dim=-2)


def residual_mlp(block: Block, x: Float[Tensor, "... d"], attended: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """Compute the rest of a residual block: both residual sums and the MLP.

    attended: the block's attention, before the output projection.
    """
    x = x + block.ls_1(block.attn.out_proj(attended))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def candidates_of(context: LayerPrompt) -> tuple[list[Tensor], Tensor | None]:
    """Return the candidate prompts of a layer and their weights.

    A layer without a mixture has one candidate and no weights.
    """
    return ([context], None) if isinstance(context, Tensor) else context
