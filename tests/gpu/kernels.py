"""Kernels that exist only on a GPU, computed on the CPU: attention and dropout.

The attention is fused, and dropout is one kernel. Each refuses arguments that its kernel would misread or could not
read.
"""

import torch
from torch import Tensor

aten = torch.ops.aten
used: dict[str, int] = {}  # how often, by the kernel's name


class KernelError(RuntimeError):
    """Arguments that would give nonsense on a GPU, or read memory that is not theirs."""


def note(name: str, q: Tensor, bias: Tensor | None) -> None:
    """Count a call, and refuse a mask of another type than the queries'."""
    used[name] = used.get(name, 0) + 1
    if bias is not None and bias.dtype != q.dtype:
        raise KernelError(f"{name}: a mask of {bias.dtype} for queries of {q.dtype}")


def logits(q: Tensor, k: Tensor, bias: Tensor | None, scale: float | None, causal: bool) -> Tensor:
    """In float32, as fused kernels keep them."""
    found = q.float() @ k.float().transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        found = found.masked_fill(~torch.ones(found.shape[-2:], dtype=torch.bool).tril(), float("-inf"))
    return found if bias is None else found + bias.float()


def attend(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float | None, causal: bool
) -> tuple[Tensor, Tensor]:
    """The output and the logsumexp that the backward pass starts from."""
    found = logits(q, k, bias, scale, causal)
    return (found.softmax(-1) @ v.float()).to(q.dtype), found.logsumexp(-1)


def gradients(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float | None, causal: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Of queries, keys, values and mask."""
    share = logits(q, k, bias, scale, causal).softmax(-1)
    slope = grad.float() @ v.float().transpose(-1, -2)
    slope = share * (slope - (slope * share).sum(-1, keepdim=True))
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    return (
        (slope @ k.float() * factor).to(q.dtype),
        (slope.transpose(-1, -2) @ q.float() * factor).to(k.dtype),
        (share.transpose(-1, -2) @ grad.float()).to(v.dtype),
        None if bias is None else slope.sum_to_size(bias.shape).to(bias.dtype),
    )


def number() -> Tensor:
    """A seed or an offset of random numbers, which nothing reads."""
    return torch.zeros((), dtype=torch.long)


def efficient(q, k, v, bias, keep, dropout=0.0, causal=False, *, scale=None):
    note("memory-efficient", q, bias)
    out, lse = attend(q, k, v, bias, scale, causal)
    return out, lse if keep else lse.new_empty(*lse.shape[:2], 0), number(), number()


def efficient_backward(grad, q, k, v, bias, out, lse, seed, offset, dropout, wanted, causal=False, *, scale=None):
    if lse.numel() == 0:
        raise KernelError("memory-efficient: no logsumexp has been kept for the backward pass")
    *found, mask = gradients(grad, q, k, v, bias, scale, causal)
    return *found, mask if wanted[3] else None


def flash(q, k, v, dropout=0.0, causal=False, debug=False, *, scale=None):
    note("flash", q, None)
    out, lse = attend(q, k, v, None, scale, causal)
    return out, lse, None, None, q.shape[2], k.shape[2], number(), number(), torch.zeros(0)


def flash_backward(grad, q, k, v, out, lse, cq, ck, mq, mk, dropout, causal, seed, offset, *, scale=None):
    return gradients(grad, q, k, v, None, scale, causal)[:3]


def cudnn(q, k, v, bias, keep, dropout=0.0, causal=False, debug=False, *, scale=None):
    note("cudnn", q, bias)
    out, lse = attend(q, k, v, bias, scale, causal)
    return out, lse, None, None, q.shape[2], k.shape[2], number(), number(), torch.zeros(0)


def cudnn_backward(
    grad, q, k, v, out, lse, seed, offset, bias, cq, ck, mq, mk, dropout, causal, *, scale=None
):  # fmt: skip
    return gradients(grad, q, k, v, bias, scale, causal)[:3]


def native_dropout(x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """With the draws of the CPU's, which is several operations."""
    if train is False or p == 0:
        return x, torch.ones_like(x, dtype=torch.bool)
    kept = torch.empty_like(x).bernoulli_(1 - p)
    return x * kept.div(1 - p), kept.bool()


KERNELS = {
    aten._scaled_dot_product_efficient_attention.default: efficient,
    aten._scaled_dot_product_efficient_attention_backward.default: efficient_backward,
    aten._scaled_dot_product_flash_attention.default: flash,
    aten._scaled_dot_product_flash_attention_backward.default: flash_backward,
    aten._scaled_dot_product_cudnn_attention.default: cudnn,
    aten._scaled_dot_product_cudnn_attention_backward.default: cudnn_backward,
    aten.native_dropout.default: native_dropout,
}
