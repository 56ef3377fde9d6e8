"""Both towers of an unmodified open_clip CLIP, run block by block, with prompts as arguments.

A *context stream* carries the prompts. At layer ℓ the context is either set anew (`prompts[ℓ]` is a tensor, possibly
of length 0) or carried on from the layer before (`prompts[ℓ]` is None). A context that the next layer carries on is
computed as ordinary tokens; one that the next layer replaces is only ever keys and values, so its queries and its MLP
are not computed: `attn(q = ln_1(x), kv = ln_1([x ; P]))`. ADAPT sets every layer anew (deep key/value prompts, as in
the same authors' released code).

An adapter adds to the queries, keys and values of a layer (low-rank adapters: `y ↦ y·Aᵀ·Bᵀ`).

Nothing here writes to the model or to itself. Axis letters: b batch, c classes, s sequence, t prompt tokens, d width,
l layers, h heads, e width of a head; features have width f.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from adapt.clip.attention import (
    Adapter,
    Block,
    Context,
    Keys,
    alternatives,
    attend,
    causal_bias,
    finish,
    project,
    project_context,
    read,
)
from adapt.clip.packing import Memory, Packing
from adapt.runtime import malloc

Clip = Any  # open_clip.CLIP: to a type checker every attribute of a module is "Tensor | Module"


class Stream(NamedTuple):
    """What a method puts into a tower: for each, one entry a layer, or None for nothing anywhere."""

    prompts: Sequence[Context | None] | None = None  # a context set anew, [t, d] or a Mixture; None: carried on
    biases: Sequence[Tensor | None] | None = None  # [t], added to the attention logits of a key/value context
    adapters: Sequence[Adapter | None] | None = None  # what is added to queries, keys and values


PLAIN = Stream()  # the frozen model as it is


class Layer(NamedTuple):
    """A block, and what a stream says of it."""

    block: Block
    fresh: Context | None
    bias: Tensor | None
    adapter: Adapter | None
    carried: bool  # the next layer carries this one's context on, so that its own outputs are needed
    last: bool


def layers_of(transformer: Clip, stream: Stream) -> list[Layer]:
    """The blocks of a tower with their entries.

    Raises: ValueError for another number of entries, or a bias where the context has queries of its own.
    """
    count = len(transformer.resblocks)
    none = [None] * count
    prompts, biases, adapters = stream.prompts or none, stream.biases or none, stream.adapters or none
    if {len(prompts), len(biases), len(adapters)} != {count}:
        raise ValueError(
            f"a stream of {len(prompts)} prompts, {len(biases)} biases and {len(adapters)} adapters "
            f"does not fit {count} blocks"
        )
    carried = [prompt is None for prompt in prompts[1:]] + [False]
    for i, (bias, kept) in enumerate(zip(biases, carried, strict=True)):
        if bias is not None and (kept or prompts[i] is None):
            raise ValueError(f"block {i} has a bias, but its context is not set there anew or is carried on")
    return [
        Layer(block, prompts[i], biases[i], adapters[i], carried[i], last=i == count - 1)
        for i, block in enumerate(transformer.resblocks)
    ]


class TextInput(NamedTuple):
    """The embedded tokens of all classes, cut in the part that they share and the part that is each class's own.

    Causal attention makes the first part the same for every class, so it is encoded once for all classes that are
    encoded together (design: shared prefix).
    The own parts, each ending with the end-of-text token, stand one after the other, without padding.
    """

    shared: Float[Tensor, "s0 d"]
    own: Float[Tensor, "n d"]
    lengths: list[int]  # of the own parts, one a class


def embed(model: Clip, tokens: Int[Tensor, "... s"], start: int = 0) -> Float[Tensor, "... s d"]:
    """Words and their positions, counted from `start`."""
    return model.token_embedding(tokens) + model.positional_embedding[start : start + tokens.shape[-1]]


def split_shared(model: Clip, tokens: Int[Tensor, "c s"], context: int = 0) -> TextInput:
    """Embed tokenised prompts, cut after each one's end-of-text token and at the end of their longest common prefix.

    The end-of-text token has the highest number, as everywhere in CLIP; it always stays in the classes' own part.
    context: so many tokens after SOS are left out; a context takes their place and their positions.
    """
    x = embed(model, tokens[:, : int(tokens.argmax(dim=1).max()) + 1])
    x, tokens = (torch.cat([part[:, :1], part[:, 1 + context :]], dim=1) for part in (x, tokens))
    last = tokens.argmax(dim=1)
    common = (tokens == tokens[:1]).all(dim=0).long().cumprod(dim=0).sum()
    return cut(x, last, int(torch.minimum(common, last.min())))


def cut(x: Float[Tensor, "c s d"], last: Int[Tensor, " c"], shared: int) -> TextInput:
    """Embedded prompts as the encoder takes them: the first `shared` tokens are the same for all classes."""
    own = torch.arange(x.shape[1], device=x.device) <= last[:, None]
    own[:, :shared] = False
    return TextInput(x[0, :shared], x[own], (last + 1 - shared).tolist())


# --- image -----------------------------------------------------------------------------------------------------------


def encode_image(model: Clip, images: Float[Tensor, "b 3 y x"], stream: Stream = PLAIN) -> Float[Tensor, "b f"]:
    """Image features (not normalised). A context stands after the patches; one of its own per image is [b, t, d]."""
    visual = model.visual
    x = visual._embeds(images)
    context: Context = x[:, :0]
    for layer in layers_of(visual.transformer, stream):
        context = context if layer.fresh is None else layer.fresh
        if layer.carried and isinstance(context, Tensor) and (t := context.shape[-2]):
            joined = torch.cat([x, context.expand(len(x), -1, -1)], dim=1)
            q, k, v = project(layer.block, joined, layer.adapter)
            x, context = attend(layer.block, joined, q, [Keys(k, v)]).split([x.shape[1], t], dim=1)
        else:
            x = attend_to_context(layer, x, context)
    return visual.ln_post(x[:, 0]) @ visual.proj


def attend_to_context(layer: Layer, x: Float[Tensor, "b s d"], context: Context) -> Float[Tensor, "b q d"]:
    """A block over images with a context that is only keys and values; of the last block only the class token."""
    q, k, v = project(layer.block, x, layer.adapter)
    s = x.shape[1]
    if layer.last:
        x, q = x[:, :1], q[..., :1, :]
    options, weights = alternatives(context)
    keys = []
    for option in options:
        ck, cv = (part.expand(len(x), -1, -1, -1) for part in project_context(layer.block, option, layer.adapter))
        bias = layer.bias
        if bias is not None:
            bias = F.pad(bias, (s, 0)).expand(x.shape[1], -1)  # [q, s+t]: nothing is added to the image's own tokens
        keys.append(Keys(torch.cat([k, ck], dim=-2), torch.cat([v, cv], dim=-2), bias) if ck.shape[-2] else Keys(k, v))
    return attend(layer.block, x, q, keys, weights)


# --- text ------------------------------------------------------------------------------------------------------------


def encode_text(
    model: Clip, text: TextInput, stream: Stream = PLAIN, *, place: int = 0, chunk: int | None = None
) -> Float[Tensor, "c f"]:
    """Text features (not normalised), one a class.

    place: before which token of the shared part the context stands in causal order. 0: every token sees it, also SOS
        (ADAPT: key/value prompts have no position, so only visibility counts). 1: it stands after SOS (IVLP, MaPLe).
    chunk: classes per chunk; chunks are recomputed in the backward pass, so that memory does not grow with classes.
        Each encodes the shared part for itself, a few tokens beside the chunk's own.
    """
    run = partial(encode_classes, model, layers_of(model.transformer, stream), text.shared, place)
    if chunk is None or chunk >= len(text.lengths):
        return run(text.own, text.lengths)

    def run_part(own: Float[Tensor, "n d"], lengths: list[int]) -> Float[Tensor, "c f"]:
        if own.device.type == "cpu":
            malloc.give_back()
        return run(own, lengths)

    parts = [text.lengths[start : start + chunk] for start in range(0, len(text.lengths), chunk)]
    owns = text.own.split([sum(lengths) for lengths in parts])
    pairs = zip(owns, parts, strict=True)
    return torch.cat([checkpoint(run_part, own, lengths, use_reentrant=False) for own, lengths in pairs])


def encode_classes(
    model: Clip, layers: list[Layer], shared: Float[Tensor, "s0 d"], place: int,
    own: Float[Tensor, "n d"], lengths: list[int],
) -> Float[Tensor, "c f"]:  # fmt: skip
    """Features of classes with so many own tokens each.

    Shared and own tokens are rows of one matrix, so that a block's weights are read once.
    """
    packing, s = Packing(lengths, like=own), len(shared)
    x = torch.cat([shared, own[packing.tokens]])
    context: Context = x[:0]
    for layer in layers:
        context = context if layer.fresh is None else layer.fresh
        if layer.carried and isinstance(context, Tensor) and (t := len(context)):
            before, after = x.split([place, len(x) - place])
            y = attend_in_order(layer, torch.cat([before, context, after]), s + t, packing, context[:0], place)
            before, context, after = y.split([place, t, len(after)])
            x = torch.cat([before, after])
        else:
            x = attend_in_order(layer, x, s, packing, context, place)
    x = model.ln_final(x)
    return model.text_projection(x) if isinstance(model.text_projection, nn.Linear) else x @ model.text_projection


def attend_in_order(
    layer: Layer, x: Float[Tensor, "n d"], s: int, packing: Packing, context: Context, place: int
) -> Float[Tensor, "_ d"]:
    """A block over `s` tokens that all classes share and the rows' own, with a context that is only keys and values.

    Of the last block only where each class ends, [c, d].
    """
    q, k, v = project(layer.block, x, layer.adapter)
    n = len(x) - s
    asking, q = q.split([s, n], dim=1)
    (*shared_k, k), (*shared_v, v) = (part.split([place, s - place, n], dim=1) for part in (k, v))
    options, weights = alternatives(context)
    kept, masked = [], []
    for option in options:
        t = len(option)
        ck, cv = project_context(layer.block, option, layer.adapter)
        joined_k, joined_v = (
            torch.cat([before, new, after], dim=-2) for (before, after), new in ((shared_k, ck), (shared_v, cv))
        )
        gate = None if layer.bias is None else F.pad(layer.bias, (place, s - place))  # [s+t]
        mask = causal_bias(s + t, x)
        mask = torch.cat([mask[:place], mask[place + t :]])  # the context asks nothing
        kept.append(Keys(joined_k, joined_v, gate))
        masked.append(Keys(joined_k, joined_v, mask if gate is None else mask + gate))
    own = packing.read(Keys(k, v), q, Memory(kept, weights))
    if layer.last:
        return finish(layer.block, x[s + packing.ends], own[packing.ends])
    return finish(layer.block, x, torch.cat([read(asking, masked, weights), own]))
