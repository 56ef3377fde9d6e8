"""Words that a context starts from or stands in for."""

import torch
from jaxtyping import Float
from torch import Tensor

from adapt.clip.backbone import Backbone
from adapt.task import FewShotTask

TEMPLATE = "template"  # stands for the words of the dataset's own template
FALLBACK = "a photo of a"


def init_words(task: FewShotTask, words: str) -> str:
    """`words` or, for `template`, those of the dataset's template before the class name ("a photo of a" if none)."""
    return words if words != TEMPLATE else task.template.partition("{}")[0].strip() or FALLBACK


def too_few_words(ctx_init: str, **n_ctx: int) -> str:
    """Why a context cannot start from fewer words than it has tokens."""
    ((key, count),) = n_ctx.items()
    return f"ctx_init: {ctx_init!r} has fewer words than {key}: {count}, which start from them"


def padded(task: FewShotTask, words: str, tokens: int) -> str:
    """The words as text, with an X in front for every context token that it has no token for.

    So a context of any length stands before the class's name and never in its place.
    """
    words = init_words(task, words)
    return " ".join([*["X"] * (tokens - len(embed_words(task.backbone, words))), words])


def first_tokens(task: FewShotTask, words: str, tokens: int, std: float) -> Float[Tensor, "t d"]:
    """What a context of so many tokens starts from: the first of `words`; where it has fewer, N(0, std²) in front."""
    start = embed_words(task.backbone, init_words(task, words))[:tokens]
    return torch.cat([random_tokens((tokens - len(start), start.shape[1]), std, task), start])


def random_tokens(shape: tuple[int, ...], std: float, task: FewShotTask, salt: int = 0) -> Tensor:
    """Tokens drawn from N(0, std²); `salt` tells the draws of one method apart."""
    generator = torch.Generator().manual_seed(task.seed * 1000 + salt)
    return (torch.randn(shape, generator=generator) * std).to(task.backbone.device)


def embed_words(backbone: Backbone, words: str) -> Float[Tensor, "t d"]:
    """The embeddings of the tokens of some words, without positions."""
    tokens = backbone.tokenize([words])[0]
    words_alone = tokens[1 : int(tokens.argmax())].to(backbone.device)
    return backbone.text.token_embedding(words_alone).detach().clone()


def text_with_context(name: str, n_ctx: int, class_token_position: str = "end") -> str:
    """A class in words, with an X for every context token (CoOp's way of counting positions)."""
    before = {"end": n_ctx, "middle": n_ctx // 2, "front": 0}[class_token_position]
    return " ".join([*["X"] * before, name, *["X"] * (n_ctx - before)]) + "."
