"""One block of an open_clip tower with its queries, keys and values in hand.

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
Adapter = Callable[[Tensor], Tensor]  # from ln_1's output [..., s, d] to what is added to q, k, v [..., s, 3d]


class Mixture(NamedTuple):
    """Candidates for one layer's key/value prompt; the attention's outputs are mixed (DPL's relaxation)."""

    candidates: list[Tensor]  # [t, d] each
    weights: Float[Tensor, " m"]


LayerPrompt = Tensor | Mixture
QKV = Float[Tensor, "3 ... _ _ _"]  # queries, keys and values [h, s, e] of some tokens


class ScaledSiLU(torch.autograd.Function):
    """silu(a·x)/a, whose derivative is silu'(a·x): one tensor is kept for the backward pass and one operation done."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: float) -> Tensor:
        """The activation of every number."""
        y = a * x
        ctx.save_for_backward(y)
        return F.silu(y).div_(a)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient of x; none of a."""
        return torch.ops.aten.silu_backward(gradients[0], *ctx.saved_tensors), None


class QuickGELU(nn.Module):
    """open_clip's activation of the same name, x·σ(1.702·x), cheaper in memory and time."""

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """The activation of every number."""
        return ScaledSiLU.apply(x, 1.702)


def project(
    block: Block, x: Float[Tensor, "... d"], prompts: Sequence[Float[Tensor, "... _ d"]], adapter: Adapter | None
) -> tuple[QKV, list[QKV | None]]:
    """Queries, keys and values of tokens and of some prompts; None for a prompt of no tokens.

    All go through the block's weights together, so that these are read once.
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
    """The attention of the first `queries` tokens over those of `own` and over a prompt; heads side by side.

    The tokens of several `own` stand one after the other; what is one for all rows is expanded. With `weights` the
    outputs over several `prompts` are mixed. masks: for each prompt what is added to the logits, None for nothing.
    """
    outputs = []
    for prompt, mask in zip(prompts, masks, strict=True):
        q, k, v = join([*own, prompt] if prompt is not None else own).unbind()
        outputs.append(F.scaled_dot_product_attention(q[..., :queries, :], k, v, attn_mask=mask))
    mixed = outputs[0] if weights is None else torch.tensordot(weights, torch.stack(outputs).to(weights), dims=1)
    return mixed.transpose(-3, -2).flatten(-2)


def join(parts: Sequence[QKV]) -> Float[Tensor, "3 r h s e"]:
    """Queries, keys and values one after the other, each as often as there are rows; in one copy for all three."""
    if len(parts) == 1:
        return parts[0]
    rows = max(part.shape[1] for part in parts if part.dim() == 5)
    parts = [part if part.dim() == 5 else part.unsqueeze(1) for part in parts]
    return torch.cat([part.expand(-1, rows, -1, -1, -1) for part in parts], dim=-2)


def residual_mlp(block: Block, x: Float[Tensor, "... d"], attended: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """The rest of a residual block: both sums and the MLP; `attended`: what its attention gave."""
    x = x + block.ls_1(block.attn.out_proj(attended))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def candidates_of(context: LayerPrompt) -> tuple[list[Tensor], Tensor | None]:
    """The candidate prompts of a layer, one where nothing is mixed, and their weights."""
    return ([context], None) if isinstance(context, Tensor) else context
