"""Words that a context starts from or replaces."""

import torch
from jaxtyping import Float
from torch import Tensor

from adapt.clip.backbone import Backbone
from adapt.task import FewShotTask

TEMPLATE = "template"  # means the words of the dataset's own template
FALLBACK = "a photo of a"


def init_words(task: FewShotTask, words: str) -> str:
    """Return `words` or, for `template`, the words of the dataset's template.

    These are the words before the class name, or "a photo of a" if there are none.
    """
    return words if words != TEMPLATE else task.template.partition("{}")[0].strip() or FALLBACK


def too_few_words(ctx_init: str, **n_ctx: int) -> str:
    """Return the message that a context has more tokens than words to start from."""
    ((key, count),) = n_ctx.items()
    return f"ctx_init: {ctx_init!r} has fewer words than {key}: {count}, the tokens that start from them"


def padded(task: FewShotTask, words: str, tokens: int) -> str:
    """Return the words, with an X in front for every token they lack.

    At least `tokens` tokens then precede the class name, so a context of that length never replaces the name.
    """
    words = init_words(task, words)
    return " ".join([*["X"] * (tokens - len(embed_words(task.backbone, words))), words])


def first_tokens(task: FewShotTask, words: str, tokens: int, std: float) -> Float[Tensor, "t d"]:
    """Return the initial values of a context: the first tokens of `words`.

    If the words have fewer tokens than the context, tokens from N(0, std²) precede them.
    """
    start = embed_words(task.backbone, init_words(task, words))[:tokens]
    return torch.cat([random_tokens((tokens - len(start), start.shape[1]), std, task), start])


def random_tokens(shape: tuple[int, ...], std: float, task: FewShotTask, salt: int = 0) -> Tensor:
    """Draw tokens from N(0, std²); `salt` makes several draws of a method different."""
    generator = torch.Generator().manual_seed(task.seed * 1000 + salt)
    return (torch.randn(shape, generator=generator) * std).to(task.backbone.device)


def embed_words(backbone: Backbone, words: str) -> Float[Tensor, "t d"]:
    """Return the token embeddings of some words, without positions."""
    tokens = backbone.tokenize([words])[0]
    words_alone = tokens[1 : int(tokens.argmax())].to(backbone.device)
    return backbone.text.token_embedding(words_alone).detach().clone()


def text_with_context(name: str, n_ctx: int, class_token_position: str = "end") -> str:
    """Return a class name with an X per context token (CoOp counts positions so)."""
    before = {"end": n_ctx, "middle": n_ctx // 2, "front": 0}[class_token_position]
    return " ".join([*["X"] * before, name, *["X"] * (n_ctx - before)]) + "."
