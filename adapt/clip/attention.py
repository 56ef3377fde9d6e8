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


class QKV(NamedTuple):
    """Queries, keys and values of some tokens."""

    q: Float[Tensor, "... h s e"]
    k: Float[Tensor, "... h s e"]
    v: Float[Tensor, "... h s e"]


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


def project(block: Block, groups: Sequence[Float[Tensor, "... _ d"]], adapter: Adapter | None) -> list[QKV]:
    """Queries, keys and values of some groups of tokens; together, so that the block's weights are read once."""
    rows = torch.cat([tokens.flatten(0, -2) for tokens in groups]) if len(groups) > 1 else groups[0]
    y = block.ln_1(rows)
    qkv = F.linear(y, block.attn.in_proj_weight, block.attn.in_proj_bias)
    if adapter is not None:
        qkv = qkv + adapter(y)
    qkv = qkv.flatten(0, -2).unflatten(-1, (3, block.attn.num_heads, -1))
    parts = qkv.split([tokens.shape[:-1].numel() for tokens in groups])
    return [
        QKV(*(x.transpose(-3, -2) for x in part.unflatten(0, tokens.shape[:-1]).unbind(-3)))
        for part, tokens in zip(parts, groups, strict=True)
    ]


def attention(
    q: Float[Tensor, "... h q e"],
    own: Sequence[QKV],
    prompts: Sequence[QKV],
    weights: Float[Tensor, " m"] | None = None,
    mask: Float[Tensor, "... q s"] | None = None,
    prompt_mask: Float[Tensor, "... #q t"] | None = None,
) -> Float[Tensor, "... q d"]:
    """The attention of queries over the tokens of `own` and over a prompt; heads side by side.

    The keys of several `own` stand one after the other; what is one for all rows is expanded. With `weights` the
    outputs over several `prompts` are mixed. The masks are added to the logits.
    """
    outputs = []
    for prompt in prompts:
        parts = [*own, prompt] if prompt.k.shape[-2] else [*own]
        k, v = (join(q, [getattr(part, name) for part in parts]) for name in ("k", "v"))
        outputs.append(F.scaled_dot_product_attention(q, k, v, attn_mask=join_masks(mask, prompt_mask, q, k)))
    mixed = outputs[0] if weights is None else torch.tensordot(weights, torch.stack(outputs).to(weights), dims=1)
    return mixed.transpose(-3, -2).flatten(-2)


def join(q: Float[Tensor, "... h q e"], parts: Sequence[Float[Tensor, "... h _ e"]]) -> Float[Tensor, "... h s e"]:
    """Keys or values one after the other, each as often as there are rows of queries."""
    return torch.cat([x.expand(*q.shape[:-2], -1, -1) for x in parts], dim=-2) if len(parts) > 1 else parts[0]


def join_masks(mask: Tensor | None, prompt_mask: Tensor | None, q: Tensor, k: Tensor) -> Tensor | None:
    """The mask of queries over all keys; None for nothing to add."""
    if prompt_mask is None:
        return mask if mask is None else F.pad(mask, (0, k.shape[-2] - mask.shape[-1]))
    if mask is None:
        return F.pad(prompt_mask, (k.shape[-2] - prompt_mask.shape[-1], 0)).expand(q.shape[-2], -1)
    return torch.cat([mask, prompt_mask.expand(*mask.shape[:-1], k.shape[-2] - mask.shape[-1])], dim=-1)


def residual_mlp(block: Block, x: Float[Tensor, "... d"], attended: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """The rest of a residual block: both sums and the MLP; `attended`: what its attention gave."""
    x = x + block.ls_1(block.attn.out_proj(attended))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def candidates_of(context: LayerPrompt) -> tuple[list[Tensor], Tensor | None]:
    """The candidate prompts of a layer, one where nothing is mixed, and their weights."""
    return ([context], None) if isinstance(context, Tensor) else context


def additive_mask(seen: Tensor, like: Tensor) -> Tensor:
    """A boolean mask as what is added to the logits: 0 where seen, -inf elsewhere."""
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill(~seen, float("-inf"))
