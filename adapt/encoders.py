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
Adapter = Callable[[Tensor], Tensor]  # from ln_1's output [..., s, d] to what is added to q, k, v [..., s, 3d]
Adapters = Sequence[Adapter | None]


class TextInput(NamedTuple):
    """The embedded tokens of all classes, cut in the part that they share and the part that is each class's own.

    Causal attention makes the first part the same for every class, so it is encoded once (design: shared prefix).
    The own parts, each ending with the end-of-text token, stand one after the other, without padding.
    """

    shared: Float[Tensor, "s0 d"]
    own: Float[Tensor, "n d"]
    lengths: list[int]  # of the own parts, one a class


class Keys(NamedTuple):
    """What queries attend to: keys, values and what is added to the attention logits."""

    k: Float[Tensor, "... h s e"]
    v: Float[Tensor, "... h s e"]
    bias: Float[Tensor, "... q s"] | None = None


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


# --- one block -------------------------------------------------------------------------------------------------------


def heads(attn: nn.MultiheadAttention, x: Float[Tensor, "... s d"]) -> Float[Tensor, "... h s e"]:
    """Cut the width into the heads' widths."""
    return x.unflatten(-1, (attn.num_heads, -1)).transpose(-3, -2)


def project(block: Block, x: Float[Tensor, "... s d"], adapter: Adapter | None) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values [..., h, s, e] of ordinary tokens."""
    y = block.ln_1(x)
    qkv = F.linear(y, block.attn.in_proj_weight, block.attn.in_proj_bias)
    if adapter is not None:
        qkv = qkv + adapter(y)
    q, k, v = (heads(block.attn, part) for part in qkv.chunk(3, dim=-1))
    return q, k, v


def project_context(block: Block, context: Float[Tensor, "... t d"], adapter: Adapter | None) -> tuple[Tensor, Tensor]:
    """Keys and values [..., h, t, e] of a context that the next layer replaces."""
    d, y = context.shape[-1], block.ln_1(context)
    kv = F.linear(y, block.attn.in_proj_weight[d:], block.attn.in_proj_bias[d:])
    if adapter is not None:
        kv = kv + adapter(y)[..., d:]
    k, v = (heads(block.attn, part) for part in kv.chunk(2, dim=-1))
    return k, v


def attend(
    block: Block, x: Float[Tensor, "... d"], q: Tensor, keys: Keys, gather: Callable[[Tensor], Tensor] = lambda y: y
) -> Float[Tensor, "... d"]:
    """One residual block over the tokens `x` with queries `q`; `gather` picks x's tokens where queries are padded."""
    mixed = F.scaled_dot_product_attention(q, keys.k, keys.v, attn_mask=keys.bias)
    x = x + block.ls_1(block.attn.out_proj(gather(mixed.transpose(-3, -2).flatten(-2))))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def is_carried(prompts: Prompts, layer: int) -> bool:
    """Whether the context of `layer` goes on through the next one, so that its own outputs are needed."""
    return layer + 1 < len(prompts) and prompts[layer + 1] is None


def per_layer(transformer: Clip, *entries: Sequence[Any] | None) -> list[Sequence[Any]]:
    """Prompts, biases and adapters, one entry a block each; None stands for none anywhere.

    Raises: ValueError for another number of entries.
    """
    count = len(transformer.resblocks)
    filled = [[None] * count if entry is None else entry for entry in entries]
    if any(len(entry) != count for entry in filled):
        raise ValueError(f"{' and '.join(str(len(entry)) for entry in filled)} entries for {count} blocks")
    return filled


# --- image -----------------------------------------------------------------------------------------------------------


def encode_image(
    model: Clip,
    images: Float[Tensor, "b 3 y x"],
    prompts: Prompts | None = None,
    biases: Biases | None = None,
    adapters: Adapters | None = None,
) -> Float[Tensor, "b f"]:
    """Image features (not normalised) with prompts in the image tower.

    prompts: one entry a layer, [t, d] (or [b, t, d]) or None; biases: per layer [t], added to the attention logits of
    a key/value context (0 leaves it as it is, -inf removes it); adapters: per layer.
    """
    visual = model.visual
    prompts, biases, adapters = per_layer(visual.transformer, prompts, biases, adapters)
    x = visual._embeds(images)
    context = x[:, :0]
    last = len(prompts) - 1
    for layer, block in enumerate(visual.transformer.resblocks):
        if (fresh := prompts[layer]) is not None:
            context = fresh.expand(len(x), -1, -1)
        if is_carried(prompts, layer) and context.shape[1]:
            s = x.shape[1]
            q, k, v = project(block, joined := torch.cat([x, context], dim=1), adapters[layer])
            x, context = attend(block, joined, q, Keys(k, v)).tensor_split([s], dim=1)
        else:
            rows = slice(0, 1) if layer == last else slice(None)  # of the last block only the class token is read
            x = attend_to_context(block, x, context, biases[layer], adapters[layer], rows)
    return visual.ln_post(x[:, 0]) @ visual.proj


def attend_to_context(
    block: Block, x: Tensor, context: Tensor, bias: Tensor | None, adapter: Adapter | None, rows: slice
) -> Float[Tensor, "b q d"]:
    """A block over some rows of images [b, s, d], with a key/value context [t, d] that they share or [b, t, d]."""
    q, k, v = project(block, x, adapter)
    s, x, q = x.shape[1], x[:, rows], q[..., rows, :]
    if context.shape[-2] == 0:
        return attend(block, x, q, Keys(k, v))
    ck, cv = (part.expand(len(x), -1, -1, -1) for part in project_context(block, context, adapter))
    if bias is not None:
        bias = F.pad(bias, (s, 0)).expand(x.shape[1], -1)  # [q, s+t]: nothing is added to the image's own tokens
    return attend(block, x, q, Keys(torch.cat([k, ck], dim=-2), torch.cat([v, cv], dim=-2), bias))


# --- text ------------------------------------------------------------------------------------------------------------


def encode_text(
    model: Clip,
    text: TextInput,
    prompts: Prompts | None = None,
    biases: Biases | None = None,
    adapters: Adapters | None = None,
    *,
    place: int = 0,
    chunk: int | None = None,
) -> Float[Tensor, "c f"]:
    """Text features (not normalised), one a class, with prompts in the text tower.

    place: before which token of the shared part the context stands in causal order. 0: every token sees it, also SOS
        (ADAPT: key/value prompts have no position, so only visibility counts). 1: it stands after SOS (IVLP, MaPLe).
    chunk: classes per chunk; chunks are recomputed in the backward pass, so that memory does not grow with classes.
    """
    prompts, biases, adapters = per_layer(model.transformer, prompts, biases, adapters)
    memory = encode_shared(model, text.shared, prompts, biases, adapters, place)
    run = own_part(model, memory, adapters)
    if chunk is None or chunk >= len(text.lengths):
        return run(text.own, text.lengths)
    parts = [text.lengths[start : start + chunk] for start in range(0, len(text.lengths), chunk)]
    owns = text.own.split([sum(lengths) for lengths in parts])
    features = [checkpoint(run, own, lengths, use_reentrant=False) for own, lengths in zip(owns, parts, strict=True)]
    return torch.cat(features)


def encode_shared(
    model: Clip, x: Float[Tensor, "s0 d"], prompts: Prompts, biases: Biases, adapters: Adapters, place: int
) -> list[Keys]:
    """Run what all classes have in common through the tower; keys, values and biases per layer of all of it."""
    context, memory = x[:0], []
    for layer, block in enumerate(model.transformer.resblocks):
        if (fresh := prompts[layer]) is not None:
            context = fresh
        s, t = len(x), len(context)
        seen = torch.ones(s + t, s + t, dtype=torch.bool, device=x.device).tril()
        if is_carried(prompts, layer) and t:
            q, k, v = project(block, joined := torch.cat([x[:place], context, x[place:]]), adapters[layer])
            y = attend(block, joined, q, Keys(k, v, additive(seen, x)))
            x, context = torch.cat([y[:place], y[place + t :]]), y[place : place + t]
            memory.append(Keys(k, v))
            continue
        q, k, v = project(block, x, adapters[layer])
        ck, cv = project_context(block, context, adapters[layer])
        k = torch.cat([k[:, :place], ck, k[:, place:]], dim=-2)
        v = torch.cat([v[:, :place], cv, v[:, place:]], dim=-2)
        rows = torch.cat([seen[:place], seen[place + t :]])
        gate = biases[layer]
        gate = None if gate is None else F.pad(gate, (place, s - place))  # [s+t]
        mask = additive(rows, x)
        x = attend(block, x, q, Keys(k, v, mask if gate is None else mask + gate))
        memory.append(Keys(k, v, gate))
    return memory


def own_part(model: Clip, memory: list[Keys], adapters: Adapters) -> Callable[[Tensor, list[int]], Tensor]:
    """The function from own tokens [n, d] and their number per class to text features [c, f]."""

    def run(x: Float[Tensor, "n d"], lengths: list[int]) -> Float[Tensor, "c f"]:
        grid = Grid(lengths, like=x)
        for layer, (block, shared) in enumerate(zip(model.transformer.resblocks, memory, strict=True)):
            q, k, v = (grid.spread(part.movedim(0, 1)) for part in project(block, x, adapters[layer]))
            k = torch.cat([shared.k.expand(len(k), -1, -1, -1), k], dim=-2)
            v = torch.cat([shared.v.expand(len(v), -1, -1, -1), v], dim=-2)
            gate = x.new_zeros(shared.k.shape[-2]) if shared.bias is None else shared.bias
            bias = torch.cat([gate.expand(grid.longest, -1), grid.causal], dim=-1)
            if layer == len(memory) - 1:  # of the last block only the ends of the classes are read
                x, bias = x[grid.ends], bias[grid.last][:, None, None]
                q = q.take_along_dim(grid.last[:, None, None, None], dim=2)
                x = attend(block, x, q, Keys(k, v, bias), gather=lambda mixed: mixed[:, 0])
            else:
                x = attend(block, x, q, Keys(k, v, bias), gather=grid.gather)
        x = model.ln_final(x)
        return model.text_projection(x) if isinstance(model.text_projection, nn.Linear) else x @ model.text_projection

    return run


class Grid:
    """Tokens of classes of different lengths, packed [n, …] for all that is done token by token, and spread into a
    padded grid [c, h, s, e] for attention alone.
    """

    def __init__(self, lengths: list[int], like: Tensor):
        sizes = torch.tensor(lengths)
        self.shape, self.longest = (len(lengths), int(sizes.max())), int(sizes.max())
        column = torch.cat([torch.arange(size) for size in lengths])
        row = torch.arange(len(lengths)).repeat_interleave(sizes)
        self.cells = (row * self.longest + column).to(like.device)
        self.last = (sizes - 1).to(like.device)
        self.ends = (sizes.cumsum(0) - 1).to(like.device)
        self.causal = causal_bias(self.longest, like)

    def spread(self, x: Float[Tensor, "n h e"]) -> Float[Tensor, "c h s e"]:
        """Packed tokens in the grid; its padding is 0, and no token attends to it."""
        full = x.new_zeros(self.shape[0] * self.longest, *x.shape[1:]).index_copy(0, self.cells, x)
        return full.unflatten(0, self.shape).movedim(1, 2)

    def gather(self, x: Float[Tensor, "c s d"]) -> Float[Tensor, "n d"]:
        """The inverse of `spread`, for heads put together."""
        return x.flatten(0, 1)[self.cells]


def causal_bias(s: int, like: Tensor) -> Float[Tensor, "s s"]:
    """The additive mask under which each of s tokens sees itself and those before it."""
    return additive(torch.ones(s, s, dtype=torch.bool, device=like.device).tril(), like)


def additive(seen: Tensor, like: Tensor) -> Tensor:
    """A boolean mask as what is added to the logits: 0 where seen, -inf elsewhere."""
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill(~seen, float("-inf"))
