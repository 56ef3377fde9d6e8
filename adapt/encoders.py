"""Both towers of an unmodified open_clip CLIP, run block by block, with prompts as arguments.

A *context stream* carries the prompts. At layer ℓ the context is either set anew (`prompts[ℓ]` is a tensor, possibly
of length 0) or carried on from the layer before (`prompts[ℓ]` is None). A context that the next layer carries on is
computed as ordinary tokens; one that the next layer replaces is only ever keys and values, so its queries and its MLP
are not computed: `attn(q = ln_1(x), kv = ln_1([x ; P]))`. ADAPT sets every layer anew (deep key/value prompts, as in
the same authors' released code).

Nothing here writes to the model or to itself. Axis letters: b batch, c classes, s sequence, t prompt tokens, d width,
l layers, h heads, e width of a head; features have width f.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

Clip = Any  # open_clip.CLIP and its blocks: to a type checker every attribute of a module is "Tensor | Module"
Block = Any
Prompts = Sequence[Tensor | None]
Biases = Sequence[Tensor | None]


class TextInput(NamedTuple):
    """The tokens of all classes, cut in the part that they share and the part that is each class's own.

    Causal attention makes the first part the same for every class, so it is encoded once (design: shared prefix).
    """

    shared: Int[Tensor, " s0"]
    own: Int[Tensor, "c s1"]
    positions: Int[Tensor, " s0+s1"]  # position embedding of each token; a method that inserts words shifts them
    last: Int[Tensor, " c"]  # where in `own` each class ends (its end-of-text token): the feature is read there


class Keys(NamedTuple):
    """What queries attend to: keys, values and what is added to the attention logits."""

    k: Float[Tensor, "... h s e"]
    v: Float[Tensor, "... h s e"]
    bias: Float[Tensor, "... q s"] | None = None


def split_shared(tokens: Int[Tensor, "c s"]) -> TextInput:
    """Cut tokenised prompts after the last end-of-text token and at the end of their longest common prefix.

    The end-of-text token has the highest number, as everywhere in CLIP; it always stays in the classes' own part.
    """
    last = tokens.argmax(dim=1)
    common = (tokens == tokens[:1]).all(dim=0).long().cumprod(dim=0).sum()
    shared = int(torch.minimum(common, last.min()))
    end = int(last.max()) + 1
    return TextInput(
        shared=tokens[0, :shared],
        own=tokens[:, shared:end],
        positions=torch.arange(end, device=tokens.device),
        last=last - shared,
    )


# --- one block -------------------------------------------------------------------------------------------------------


def heads(attn: nn.MultiheadAttention, x: Float[Tensor, "... s d"]) -> Float[Tensor, "... h s e"]:
    """Cut the width into the heads' widths."""
    return x.unflatten(-1, (attn.num_heads, -1)).transpose(-3, -2)


def project(block: Block, x: Float[Tensor, "... s d"]) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values [..., h, s, e] of ordinary tokens."""
    qkv = F.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)
    q, k, v = (heads(block.attn, part) for part in qkv.chunk(3, dim=-1))
    return q, k, v


def project_context(block: Block, context: Float[Tensor, "... t d"]) -> tuple[Tensor, Tensor]:
    """Keys and values [..., h, t, e] of a context that the next layer replaces."""
    d = context.shape[-1]
    kv = F.linear(block.ln_1(context), block.attn.in_proj_weight[d:], block.attn.in_proj_bias[d:])
    k, v = (heads(block.attn, part) for part in kv.chunk(2, dim=-1))
    return k, v


def attend(block: Block, x: Tensor, q: Tensor, keys: Keys) -> Float[Tensor, "... s d"]:
    """One residual block over the tokens `x` with queries `q`."""
    mixed = F.scaled_dot_product_attention(q, keys.k, keys.v, attn_mask=keys.bias)
    x = x + block.ls_1(block.attn.out_proj(mixed.transpose(-3, -2).flatten(-2)))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def is_carried(prompts: Prompts, layer: int) -> bool:
    """Whether the context of `layer` goes on through the next one, so that its own outputs are needed."""
    return layer + 1 < len(prompts) and prompts[layer + 1] is None


def layers_of(transformer: Clip, prompts: Prompts, biases: Biases | None) -> tuple[Prompts, Biases]:
    """Prompts and biases, one entry a block each.

    Raises: ValueError for another number of entries.
    """
    count = len(transformer.resblocks)
    biases = biases if biases is not None else [None] * count
    if len(prompts) != count or len(biases) != count:
        raise ValueError(f"{len(prompts)} layers of prompts and {len(biases)} of biases for {count} blocks")
    return prompts, biases


# --- image -----------------------------------------------------------------------------------------------------------


def encode_image(
    model: Clip, images: Float[Tensor, "b 3 y x"], prompts: Prompts, biases: Biases | None = None
) -> Float[Tensor, "b f"]:
    """Image features (not normalised) with prompts in the image tower.

    prompts: one entry a layer, [t, d] (or [b, t, d]) or None; biases: per layer [t], added to the attention logits of
    a key/value context (0 leaves it as it is, -inf removes it).
    """
    visual = model.visual
    prompts, biases = layers_of(visual.transformer, prompts, biases)
    x = visual._embeds(images)
    context = x[:, :0]
    last = len(prompts) - 1
    for layer, block in enumerate(visual.transformer.resblocks):
        if (fresh := prompts[layer]) is not None:
            context = fresh.expand(len(x), -1, -1)
        if is_carried(prompts, layer) and context.shape[1]:
            s = x.shape[1]
            q, k, v = project(block, joined := torch.cat([x, context], dim=1))
            x, context = attend(block, joined, q, Keys(k, v)).tensor_split([s], dim=1)
        else:
            rows = slice(0, 1) if layer == last else slice(None)  # of the last block only the class token is read
            x = attend_to_context(block, x, fresh if fresh is not None else context, biases[layer], rows)
    return visual.ln_post(x[:, 0]) @ visual.proj


def attend_to_context(
    block: Block, x: Tensor, context: Tensor, bias: Tensor | None, rows: slice
) -> Float[Tensor, "b q d"]:
    """A block over some rows of images [b, s, d], with a key/value context [t, d] that they share or [b, t, d]."""
    q, k, v = project(block, x)
    s, x, q = x.shape[1], x[:, rows], q[..., rows, :]
    if context.shape[-2] == 0:
        return attend(block, x, q, Keys(k, v))
    ck, cv = (part.expand(len(x), -1, -1, -1) for part in project_context(block, context))
    if bias is not None:
        bias = F.pad(bias, (s, 0)).expand(x.shape[1], -1)  # [q, s+t]: nothing is added to the image's own tokens
    return attend(block, x, q, Keys(torch.cat([k, ck], dim=-2), torch.cat([v, cv], dim=-2), bias))


# --- text ------------------------------------------------------------------------------------------------------------


def encode_text(
    model: Clip,
    text: TextInput,
    prompts: Prompts,
    biases: Biases | None = None,
    *,
    place: int = 0,
    chunk: int | None = None,
) -> Float[Tensor, "c f"]:
    """Text features (not normalised), one a class, with prompts in the text tower.

    place: before which token of the shared part the context stands in causal order. 0: every token sees it, also SOS
        (ADAPT: key/value prompts have no position, so only visibility counts). 1: it stands after SOS (IVLP, MaPLe).
    chunk: classes per chunk; chunks are recomputed in the backward pass, so that memory does not grow with classes.
    """
    prompts, biases = layers_of(model.transformer, prompts, biases)
    memory = encode_shared(model, text, prompts, biases, place)
    run = own_part(model, memory, causal_bias(text.own.shape[1], model.positional_embedding))
    own, positions = text.own, model.positional_embedding[text.positions[len(text.shared) :]]
    if chunk is None or chunk >= len(own):
        return run(own, text.last, positions)
    parts = zip(own.split(chunk), text.last.split(chunk), strict=True)
    return torch.cat([checkpoint(run, ids, last, positions, use_reentrant=False) for ids, last in parts])


def encode_shared(model: Clip, text: TextInput, prompts: Prompts, biases: Biases, place: int) -> list[Keys]:
    """Run what all classes have in common through the tower; keys, values and biases per layer of all of it."""
    positions = model.positional_embedding[text.positions[: len(text.shared)]]
    x = model.token_embedding(text.shared) + positions
    context, memory = x[:0], []
    for layer, block in enumerate(model.transformer.resblocks):
        if (fresh := prompts[layer]) is not None:
            context = fresh
        s, t = len(x), len(context)
        seen = torch.ones(s + t, s + t, dtype=torch.bool, device=x.device).tril()
        if is_carried(prompts, layer) and t:
            q, k, v = project(block, joined := torch.cat([x[:place], context, x[place:]]))
            y = attend(block, joined, q, Keys(k, v, additive(seen, x)))
            x, context = torch.cat([y[:place], y[place + t :]]), y[place : place + t]
            memory.append(Keys(k, v))
            continue
        q, k, v = project(block, x)
        ck, cv = project_context(block, context)
        k = torch.cat([k[:, :place], ck, k[:, place:]], dim=-2)
        v = torch.cat([v[:, :place], cv, v[:, place:]], dim=-2)
        rows = torch.cat([seen[:place], seen[place + t :]])
        gate = biases[layer]
        gate = None if gate is None else F.pad(gate, (place, s - place))  # [s+t]
        mask = additive(rows, x)
        x = attend(block, x, q, Keys(k, v, mask if gate is None else mask + gate))
        memory.append(Keys(k, v, gate))
    return memory


def own_part(model: Clip, memory: list[Keys], causal: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The function from own tokens [c, s], ends [c] and position embeddings [s, d] to text features [c, f]."""

    def run(own: Int[Tensor, "c s"], last: Int[Tensor, " c"], positions: Float[Tensor, "s d"]) -> Float[Tensor, "c f"]:
        x = model.token_embedding(own) + positions
        c, s, _ = x.shape
        ends = last.reshape(c, 1, 1)
        for layer, (block, shared) in enumerate(zip(model.transformer.resblocks, memory, strict=True)):
            q, k, v = project(block, x)
            k = torch.cat([shared.k.expand(c, -1, -1, -1), k], dim=-2)
            v = torch.cat([shared.v.expand(c, -1, -1, -1), v], dim=-2)
            gate = causal.new_zeros(shared.k.shape[-2]) if shared.bias is None else shared.bias
            bias = torch.cat([gate.expand(s, -1), causal], dim=-1)
            if layer == len(memory) - 1:  # of the last block only the ends of the classes are read
                x, bias = x.take_along_dim(ends, dim=1), bias[last].reshape(c, 1, 1, -1)
                q = q.take_along_dim(ends.unsqueeze(1), dim=2)
            x = attend(block, x, q, Keys(k, v, bias))
        x = model.ln_final(x[:, 0])
        return model.text_projection(x) if isinstance(model.text_projection, nn.Linear) else x @ model.text_projection

    return run


def causal_bias(s: int, like: Tensor) -> Float[Tensor, "s s"]:
    """The additive mask under which each of s tokens sees itself and those before it."""
    return additive(torch.ones(s, s, dtype=torch.bool, device=like.device).tril(), like)


def additive(seen: Tensor, like: Tensor) -> Tensor:
    """A boolean mask as what is added to the logits: 0 where seen, -inf elsewhere."""
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill(~seen, float("-inf"))
