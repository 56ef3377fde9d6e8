"""Both towers of an unmodified open_clip CLIP, run block by block with prompts.

At each layer the prompt is either replaced by a new one (`prompts[ℓ]` is a tensor, possibly of length 0) or propagated
from the previous layer (`prompts[ℓ]` is None). A prompt that the next layer discards only needs keys and values. Its
attention, output projection and MLP are skipped: `attn(q = ln_1(x), kv = ln_1([x ; P]))`. ADAPT replaces the prompt at
every layer (deep key/value prompts, as in the same authors' released code). `reference.py` has the same computation in
its plainest form.

An adapter adds to the queries, keys and values of a layer (low-rank adapters: `y ↦ y·Aᵀ·Bᵀ`).

No function here modifies the model or keeps state. Axis letters: b batch, c classes, s sequence, t prompt tokens, d
width, l layers, h heads, e width of a head; features have width f.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from adapt.clip.attention import Adapter, Block, LayerPrompt, attention, candidates_of, project, residual_mlp
from adapt.clip.compiling import Run, as_it_is
from adapt.clip.packing import Packing, pack
from adapt.runtime import malloc

Clip = Any  # open_clip.CLIP: to a type checker every attribute of a module is "Tensor | Module"


class Injection(NamedTuple):
    """What a method injects into a tower: one entry per layer, or None for nothing."""

    prompts: Sequence[LayerPrompt | None] | None = None  # a new prompt, [t, d] or a Mixture; None: propagated
    key_biases: Sequence[Tensor | None] | None = None  # [t], added to the attention logits of a key/value prompt
    adapters: Sequence[Adapter | None] | None = None  # each adds to queries, keys and values


NO_INJECTION = Injection()  # the frozen model as it is


class Layer(NamedTuple):
    """A block and its injection."""

    block: Block
    new_prompt: LayerPrompt | None
    bias: Tensor | None
    adapter: Adapter | None
    propagate: bool  # the next layer takes over this layer's prompt, so the prompt's outputs are needed
    last: bool


def layers_of(transformer: Clip, injection: Injection) -> list[Layer]:
    """Return the blocks of a tower with their injections.

    Raises: ValueError if the numbers of entries and blocks differ, or for a bias on a prompt with queries of its own.
    """
    count = len(transformer.resblocks)
    none = [None] * count
    prompts, biases, adapters = injection.prompts or none, injection.key_biases or none, injection.adapters or none
    if {len(prompts), len(biases), len(adapters)} != {count}:
        raise ValueError(
            f"an injection of {len(prompts)} prompts, {len(biases)} biases and {len(adapters)} adapters "
            f"does not fit {count} blocks"
        )
    propagate = [prompt is None for prompt in prompts[1:]] + [False]
    for i, (bias, kept) in enumerate(zip(biases, propagate, strict=True)):
        if bias is not None and (kept or prompts[i] is None):
            raise ValueError(f"block {i} has a key bias, but its prompt is not new there, or is propagated")
    return [
        Layer(block, prompts[i], biases[i], adapters[i], propagate[i], last=i == count - 1)
        for i, block in enumerate(transformer.resblocks)
    ]


class TextInput(NamedTuple):
    """The embedded texts of all classes, split into a shared prefix and suffixes.

    Causal attention makes the prefix the same for every class, so it is encoded once for all classes that are encoded
    together. Each suffix ends with the end-of-text token. The suffixes are concatenated without padding.
    """

    prefix: Float[Tensor, "s0 d"]
    suffixes: Float[Tensor, "n d"]
    lengths: list[int]  # of the suffixes, one per class


def embed(model: Clip, tokens: Int[Tensor, "... s"], start: int = 0) -> Float[Tensor, "... s d"]:
    """Embed tokens and their positions, counted from `start`, on the model's device."""
    tokens = tokens.to(model.positional_embedding.device)
    return model.token_embedding(tokens) + model.positional_embedding[start : start + tokens.shape[-1]]


def split_prefix(model: Clip, tokens: Int[Tensor, "c s"], n_ctx: int = 0) -> TextInput:
    """Embed tokenised texts and split them after their longest common prefix.

    Each text is cut after its end-of-text token. This token has the highest id, as everywhere in CLIP, and always stays
    in the suffix.
    n_ctx: number of tokens after SOS to leave out; a context takes their place and their positions.
    """
    tokens = tokens.cpu()
    x = embed(model, tokens[:, : int(tokens.argmax(dim=1).max()) + 1])
    x, tokens = (torch.cat([part[:, :1], part[:, 1 + n_ctx :]], dim=1) for part in (x, tokens))
    last = tokens.argmax(dim=1)
    common = (tokens == tokens[:1]).all(dim=0).long().cumprod(dim=0).sum()
    return to_text_input(x, last, int(torch.minimum(common, last.min())))


def to_text_input(x: Float[Tensor, "c s d"], last: Int[Tensor, " c"], n_prefix: int) -> TextInput:
    """Split embedded texts after `n_prefix` tokens, which are equal in all classes.

    last: the index of each text's last token, on the CPU.
    """
    in_suffix = torch.arange(x.shape[1]) <= last[:, None]
    in_suffix[:, :n_prefix] = False
    rows = in_suffix.flatten().nonzero().flatten().to(x.device)
    return TextInput(x[0, :n_prefix], x.flatten(0, 1)[rows], (last + 1 - n_prefix).tolist())


# --- image -----------------------------------------------------------------------------------------------------------


def encode_image(
    model: Clip, images: Float[Tensor, "b 3 y x"], injection: Injection = NO_INJECTION, *, run: Run = as_it_is
) -> Float[Tensor, "b f"]:
    """Return image features (not normalised).

    A prompt is inserted after the patches. A separate prompt for each image is [b, t, d].
    run: calls a block's function.
    """
    visual = model.visual
    x = visual._embeds(images)
    prompt: LayerPrompt = x[:, :0]
    for layer in layers_of(visual.transformer, injection):
        prompt = prompt if layer.new_prompt is None else layer.new_prompt
        if layer.propagate and isinstance(prompt, Tensor) and (t := prompt.shape[-2]):
            joined = torch.cat([x, prompt.expand(len(x), -1, -1)], dim=1)
            x, prompt = run(image_block, layer, joined, joined[:, :0]).split([x.shape[1], t], dim=1)
        else:
            x = run(image_block, layer, x, prompt, varying=[(tokens, -2) for tokens in candidates_of(prompt)[0]])
    return visual.ln_post(x[:, 0]) @ visual.proj


def image_block(layer: Layer, x: Float[Tensor, "b s d"], prompt: LayerPrompt) -> Float[Tensor, "b q d"]:
    """Run a block over images with a prompt that is only keys and values.

    The last block returns only the class token.
    """
    candidates, weights = candidates_of(prompt)
    own, prompts = project(layer.block, x, candidates, layer.adapter)
    queries = 1 if layer.last else x.shape[1]
    # no bias on the image's own tokens
    mask = None if layer.bias is None else F.pad(layer.bias, (x.shape[1], 0)).expand(queries, -1)
    attended = attention([own], prompts, weights, [mask] * len(prompts), queries)
    return residual_mlp(layer.block, x[:, :queries], attended)


# --- text ------------------------------------------------------------------------------------------------------------


def encode_text(
    model: Clip, text: TextInput, injection: Injection = NO_INJECTION, *, insert_at: int = 0, chunk: int | None = None,
    run: Run = as_it_is,
) -> Float[Tensor, "c f"]:  # fmt: skip
    """Return text features (not normalised), one per class.

    insert_at: index of the prefix token before which the prompt is inserted, in causal order. 0: every token sees it,
        SOS included (ADAPT: key/value prompts have no position, so only visibility counts). 1: it follows SOS (IVLP,
        MaPLe).
    chunk: classes per chunk. Chunks are recomputed in the backward pass, so that memory does not grow with classes.
        Each chunk encodes the prefix again, which is only a few tokens besides the chunk's suffixes.
    run: calls a block's function. In chunks, functions run uncompiled, since a graph compiled for the lengths of
        another chunk may save other tensors when it recomputes.
    """
    encode = partial(encode_classes, model, layers_of(model.transformer, injection), text.prefix, insert_at)
    if chunk is None or chunk >= len(text.lengths):
        return encode(text.suffixes, text.lengths, run)

    def run_part(suffixes: Float[Tensor, "n d"], lengths: list[int]) -> Float[Tensor, "c f"]:
        if suffixes.device.type == "cpu":
            malloc.trim_heap()
        return encode(suffixes, lengths, as_it_is)

    parts = [text.lengths[start : start + chunk] for start in range(0, len(text.lengths), chunk)]
    pairs = zip(text.suffixes.split([sum(lengths) for lengths in parts]), parts, strict=True)
    return torch.cat([checkpoint(run_part, suffixes, lengths, use_reentrant=False) for suffixes, lengths in pairs])


def encode_classes(
    model: Clip, layers: list[Layer], prefix: Float[Tensor, "s0 d"], insert_at: int,
    suffixes: Float[Tensor, "n d"], lengths: list[int], run: Run,
) -> Float[Tensor, "c f"]:  # fmt: skip
    """Return features of the classes whose suffixes have these lengths.

    Prefix and suffixes are rows of one matrix, so that a block's weights are read once.
    """
    packing = pack(lengths, len(prefix), suffixes.device)
    x = torch.cat([prefix, suffixes.index_select(0, packing.tokens)])
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype  # of the attention
    prompt: LayerPrompt = x[:0]
    for layer in layers:
        prompt = prompt if layer.new_prompt is None else layer.new_prompt
        if layer.propagate and isinstance(prompt, Tensor) and (t := len(prompt)):
            before, after = x.split([insert_at, len(x) - insert_at])
            longer, joined = pack(lengths, len(prefix) + t, suffixes.device), torch.cat([before, prompt, after])
            y = run(text_block, layer, joined, prompt[:0], longer, [longer.mask(insert_at, 0, dtype)])
            before, prompt, after = y.split([insert_at, t, len(after)])
            x = torch.cat([before, after])
        else:
            candidates = candidates_of(prompt)[0]
            masks = [packing.mask(insert_at, len(tokens), dtype) for tokens in candidates]
            varying = [(tokens, -2) for tokens in candidates] + [(mask, -1) for mask in masks]
            x = run(text_block, layer, x, prompt, packing, masks, varying=varying)
    x = model.ln_final(x)
    return model.text_projection(x) if isinstance(model.text_projection, nn.Linear) else x @ model.text_projection


def text_block(
    layer: Layer, x: Float[Tensor, "n d"], prompt: LayerPrompt, packing: Packing, masks: list[Tensor]
) -> Float[Tensor, "_ d"]:
    """Run a block over prefix and packed suffixes; the prompt is only keys and values.

    The last block returns only the end of each class, [c, d].
    masks: from `packing`, one for each candidate of the prompt.
    """
    candidates, weights = candidates_of(prompt)
    own, prompts = project(layer.block, x, candidates, layer.adapter)
    shared, suffixes = own.split([packing.s, len(x) - packing.s], dim=2)
    width = packing.shape[1]
    if layer.bias is not None:
        masks = [mask + F.pad(layer.bias, (packing.s + width, 0)) for mask in masks]
    y = attention([shared, packing.in_rows(suffixes)], prompts, weights, masks, queries=packing.s + width)
    if layer.last:
        ends = y.flatten(0, 1).index_select(0, packing.ends_in_rows)
        return residual_mlp(layer.block, x.index_select(0, packing.ends), ends)
    before, after = y.split([packing.s, width], dim=1)
    return residual_mlp(layer.block, x, torch.cat([before[0], after.flatten(0, 1)]))
