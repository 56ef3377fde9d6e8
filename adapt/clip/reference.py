"""Both towers of CLIP with prompts in the plainest form; read the method here.

`encoders.py` computes the same, faster; the tests compare its values and gradients with this file. Here every class has
all its positions, nothing is shared or packed, and attention is written out.

At layer ℓ, the prompt P is inserted among the tokens, the block runs over all of them, and P is removed again:

    y = x with P at `insert_at`      P: prompts[ℓ] or, if that is None, the previous layer's output at its prompt
    y = y + attention(ln_1(y))       causal in the text tower: a token sees itself and those before it
    y = y + mlp(ln_2(y))
    x, P = y without P, P

If layer ℓ+1 has a prompt of its own, the block's output at P is discarded. P then served only as keys and values, which
is ADAPT's injection: attn(q = ln_1(x), kv = ln_1([x ; P])). Such prompts have no position, so only visibility matters:
with `insert_at` 0, every token sees them.

Axis letters: b batch, c classes, s sequence, t prompt tokens, d width, f feature, h heads, e width of a head.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Model = Any  # open_clip.CLIP: to a type checker every attribute of a module is "Tensor | Module"
Prompts = Sequence[Float[Tensor, "_ d"] | None]  # one per layer; None: the previous layer's is propagated


def attention(block: Model, x: Float[Tensor, "b s d"], hidden: Bool[Tensor, "s s"] | None) -> Float[Tensor, "b s d"]:
    """Compute softmax(q·kᵀ/√e)·v for a block's heads, and the output projection.

    hidden: True where a query does not see a key.
    """
    attn, (b, s, d) = block.attn, x.shape
    qkv = block.ln_1(x) @ attn.in_proj_weight.T + attn.in_proj_bias
    q, k, v = (part.reshape(b, s, attn.num_heads, -1).transpose(1, 2) for part in qkv.chunk(3, dim=-1))  # [b, h, s, e]
    scores = q @ k.transpose(-1, -2) / (d // attn.num_heads) ** 0.5
    if hidden is not None:
        scores = scores.masked_fill(hidden, float("-inf"))
    return attn.out_proj((scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(b, s, d))


def mlp(block: Model, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
    """Apply two linear layers with the model's GELU between them.

    OpenAI's GELU is the quick one, x·σ(1.702·x).
    """
    inner = block.mlp.c_fc(x)
    quick = type(block.mlp.gelu).__name__ == "QuickGELU"
    return block.mlp.c_proj(inner * torch.sigmoid(1.702 * inner) if quick else block.mlp.gelu(inner))


def run_blocks(
    transformer: Model, x: Float[Tensor, "b s d"], prompts: Prompts, insert_at: int, causal: bool
) -> Float[Tensor, "b s d"]:
    """Run all blocks over x, with each layer's prompt before token number `insert_at`."""
    prompt = x[:, :0]
    for layer, block in enumerate(transformer.resblocks):
        own = prompts[layer]
        if own is not None:
            prompt = own.expand(len(x), -1, -1)
        t = prompt.shape[1]
        y = torch.cat([x[:, :insert_at], prompt, x[:, insert_at:]], dim=1)
        hidden = torch.ones(y.shape[1], y.shape[1], dtype=torch.bool, device=y.device).triu(1) if causal else None
        y = y + attention(block, y, hidden)
        y = y + mlp(block, block.ln_2(y))
        x, prompt = torch.cat([y[:, :insert_at], y[:, insert_at + t :]], dim=1), y[:, insert_at : insert_at + t]
    return x


def encode_text(
    model: Model, x: Float[Tensor, "c s d"], ends: Int[Tensor, " c"], prompts: Prompts, insert_at: int = 0
) -> Float[Tensor, "c f"]:
    """Return text features, not normalised, of embedded texts.

    ends: the index of each text's end-of-text token.
    """
    x = model.ln_final(run_blocks(model.transformer, x, prompts, insert_at, causal=True))
    return x[torch.arange(len(x)), ends.cpu()] @ model.text_projection


def encode_image(model: Model, images: Float[Tensor, "b 3 y x"], prompts: Prompts) -> Float[Tensor, "b f"]:
    """Return image features, not normalised; a prompt is inserted after the patches."""
    visual = model.visual
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1) + visual.positional_embedding
    x = run_blocks(visual.transformer, visual.ln_pre(x), prompts, insert_at=x.shape[1], causal=False)
    return visual.ln_post(x[:, 0]) @ visual.proj
