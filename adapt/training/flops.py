"""FLOP counts of matrix products, convolutions and attention.

A multiplication and an addition are two FLOPs.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

# torch has FLOP formulas for the attention kernels of a GPU; it counts those of a CPU as 0
ATTENTION_ON_A_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda out, q, k, v, *_, **__: (
        sdpa_backward_flop_count(out, q, k, v)
    ),
}


def counter() -> FlopCounterMode:
    """Return torch's FLOP counter with formulas for the attention kernels of a CPU.

    It is a context manager. Attention counts as it is computed: masked entries are included, and the logits count again
    in the backward pass.
    """
    return FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_A_CPU)
