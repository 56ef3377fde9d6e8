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


class KeyValue(NamedTuple):
    """What queries attend to: keys, values and what is added to the attention logits."""

    k: Float[Tensor, "... h s e"]
    v: Float[Tensor, "... h s e"]
    bias: Float[Tensor, "... q s"] | None = None


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


def split_heads(attn: nn.MultiheadAttention, x: Float[Tensor, "... s d"]) -> Float[Tensor, "... h s e"]:
    """Cut the width into the heads' widths."""
    return x.unflatten(-1, (attn.num_heads, -1)).transpose(-3, -2)


def project_qkv(block: Block, x: Float[Tensor, "... s d"], adapter: Adapter | None) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values [..., h, s, e] of ordinary tokens."""
    y = block.ln_1(x)
    qkv = F.linear(y, block.attn.in_proj_weight, block.attn.in_proj_bias)
    if adapter is not None:
        qkv = qkv + adapter(y)
    q, k, v = (split_heads(block.attn, part) for part in qkv.chunk(3, dim=-1))
    return q, k, v


def project_prompt(block: Block, context: Float[Tensor, "... t d"], adapter: Adapter | None) -> tuple[Tensor, Tensor]:
    """Keys and values [..., h, t, e] of a prompt that the next layer replaces."""
    d, y = context.shape[-1], block.ln_1(context)
    kv = F.linear(y, block.attn.in_proj_weight[d:], block.attn.in_proj_bias[d:])
    if adapter is not None:
        kv = kv + adapter(y)[..., d:]
    k, v = (split_heads(block.attn, part) for part in kv.chunk(2, dim=-1))
    return k, v


def block_forward(
    block: Block,
    x: Float[Tensor, "... s d"],
    q: Float[Tensor, "... h s e"],
    keys: Sequence[KeyValue],
    weights: Float[Tensor, " m"] | None = None,
) -> Float[Tensor, "... s d"]:
    """One residual block over the tokens `x` with queries `q`; `keys` and `weights` as in `attention`."""
    return residual_mlp(block, x, attention(q, keys, weights))


def attention(
    q: Float[Tensor, "... h s e"], keys: Sequence[KeyValue], weights: Float[Tensor, " m"] | None = None
) -> Float[Tensor, "... s d"]:
    """The attention of queries over one of `keys`, or over candidates mixed with `weights`; heads side by side."""
    outputs = [F.scaled_dot_product_attention(q, k, v, attn_mask=bias) for k, v, bias in keys]
    mixed = outputs[0] if weights is None else torch.tensordot(weights, torch.stack(outputs).to(weights), dims=1)
    return mixed.transpose(-3, -2).flatten(-2)


def residual_mlp(block: Block, x: Float[Tensor, "... d"], attended: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """The rest of a residual block: both sums and the MLP; `attended`: what its attention gave."""
    x = x + block.ls_1(block.attn.out_proj(attended))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def candidates_of(context: LayerPrompt) -> tuple[list[Tensor], Tensor | None]:
    """The candidate prompts of a layer, one where nothing is mixed, and their weights."""
    return ([context], None) if isinstance(context, Tensor) else context


def causal_bias(s: int, like: Tensor) -> Float[Tensor, "s s"]:
    """The additive mask under which each of s tokens sees itself and those before it."""
    return additive_mask(torch.ones(s, s, dtype=torch.bool, device=like.device).tril(), like)


def additive_mask(seen: Tensor, like: Tensor) -> Tensor:
    """A boolean mask as what is added to the logits: 0 where seen, -inf elsewhere."""
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill(~seen, float("-inf"))
