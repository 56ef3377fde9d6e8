"""What a count of FLOPs takes in."""

import torch
from torch.nn import functional as F

from adapt.training import flops

B, H, Q, S, E = 2, 3, 5, 7, 4  # batch, heads, queries, keys, width of a head


def test_attention_counts_as_its_two_products_and_backward_as_five():
    q, k, v = (torch.randn(B, H, n, E, requires_grad=True) for n in (Q, S, S))
    with flops.counter() as forward:
        out = F.scaled_dot_product_attention(q, k, v)
    with flops.counter() as backward:
        out.sum().backward()
    product = 2 * B * H * Q * S * E
    assert (forward.get_total_flops(), backward.get_total_flops()) == (2 * product, 5 * product)
