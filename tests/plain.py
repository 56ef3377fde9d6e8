"""The encoders once more, in the plainest way: 77 positions a class, nothing shared, attention written out.

The library's encoders have to agree with these in values and gradients.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def attention(block, x: Tensor, context: Tensor, causal: bool) -> Tensor:
    """softmax(q·kᵀ/√e)·v for x [b, s, d] over [context ; x], every query seeing all of the context."""
    attn, (b, s, d), t = block.attn, x.shape, len(context)
    y = block.ln_1(torch.cat([context.expand(b, t, d), x], dim=1))
    wq, wk, wv = attn.in_proj_weight.chunk(3)
    bq, bk, bv = attn.in_proj_bias.chunk(3)
    q, k, v = y[:, t:] @ wq.T + bq, y @ wk.T + bk, y @ wv.T + bv
    q, k, v = (part.reshape(b, -1, attn.num_heads, d // attn.num_heads).transpose(1, 2) for part in (q, k, v))
    scores = q @ k.transpose(-1, -2) / (d // attn.num_heads) ** 0.5
    if causal:
        hidden = torch.ones(s, s, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(F.pad(hidden, (t, 0)), float("-inf"))
    mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(b, s, d)
    return attn.out_proj(mixed)


def run_blocks(transformer, x: Tensor, prompts: list[Tensor], causal: bool) -> Tensor:
    for block, context in zip(transformer.resblocks, prompts, strict=True):
        x = x + attention(block, x, context, causal)
        x = x + block.mlp(block.ln_2(x))
    return x


def encode_text(model, tokens: Tensor, prompts: list[Tensor]) -> Tensor:
    x = model.token_embedding(tokens) + model.positional_embedding
    x = model.ln_final(run_blocks(model.transformer, x, prompts, causal=True))
    return x[torch.arange(len(x)), tokens.argmax(dim=1)] @ model.text_projection


def encode_image(model, images: Tensor, prompts: list[Tensor]) -> Tensor:
    visual = model.visual
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1) + visual.positional_embedding
    x = run_blocks(visual.transformer, visual.ln_pre(x), prompts, causal=False)
    return visual.ln_post(x[:, 0]) @ visual.proj
