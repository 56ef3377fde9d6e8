"""Counting FLOPs: matrix products, convolutions and attention; a multiplication and an addition are two."""

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

# torch has formulas for attention's kernels on a GPU, none for those of a CPU, and counts them as nothing
ATTENTION_ON_A_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda out, q, k, v, *_, **__: (
        sdpa_backward_flop_count(out, q, k, v)
    ),
}


def counter() -> FlopCounterMode:
    """Torch's counter, to use as a context, with what it lacks.

    Attention counts as it is computed: what a mask removes with the rest, and its logits again in the backward pass.
    """
    return FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_A_CPU)
