"""Prompts as ordinary tokens, for VPT, IVLP, MaPLe and PromptSRC.

They are replaced at the first layers and propagated through the others.
"""

from jaxtyping import Float
from torch import Tensor, nn

from adapt.clip.encoders import NO_INJECTION, Injection, TextInput, split_prefix
from adapt.methods._init_words import first_tokens, padded, random_tokens
from adapt.methods._two_tower import TwoTower
from adapt.task import FewShotTask


class DeepPrompts(TwoTower):
    """Deep prompts: new ones at the first `prompt_depth` layers, then propagated.

    The first text prompt replaces the first words of the text. The first image prompt follows the patches and is
    normalised by ln_pre like them; deeper prompts are inserted unnormalised.
    """

    insert_at = 1
    modifies_image_tower = True

    def text_prompts(self) -> list[Float[Tensor, "t d"]]:
        """Return one text prompt per layer down to the depth; none without text prompts."""
        return []

    def image_prompts(self) -> list[Float[Tensor, "t d"]]:
        """Return the same for the image branch."""
        return []

    def injection(self, branch: str) -> Injection:
        """Return new prompts down to the depth, which are propagated from there on."""
        backbone = self.task.backbone
        prompts = self.text_prompts() if branch == "text" else self.image_prompts()
        if not prompts:
            return NO_INJECTION
        first, *deeper = prompts
        position = backbone.text.positional_embedding[1 : len(first) + 1]
        first = first + position if branch == "text" else backbone.model.visual.ln_pre(first)
        return Injection([first, *deeper, *[None] * (backbone.layers[branch] - len(prompts))])


def without_words(task: FewShotTask, words: str, tokens: int) -> TextInput:
    """Return `WORDS {class}.` for every class, without its first `tokens` tokens.

    A prompt replaces these tokens.
    """
    before = padded(task, words, tokens)
    texts = task.tokenize(lambda name: f"{before} {name}.")
    return split_prefix(task.backbone.text, texts, n_ctx=tokens)


def text_parameters(task: FewShotTask, words: str, tokens: int, depth: int, std: float) -> nn.ParameterList:
    """Return a prompt per layer: the first from the words, deeper ones N(0, std²)."""
    shape = (tokens, task.backbone.widths["text"])
    deeper = [random_tokens(shape, std, task, salt=layer) for layer in range(1, depth)]
    return nn.ParameterList([first_tokens(task, words, tokens, std), *deeper])


def image_parameters(task: FewShotTask, tokens: int, depth: int, std: float) -> nn.ParameterList:
    """Return a prompt per layer, all from N(0, std²)."""
    shape = (tokens, task.backbone.widths["image"])
    return nn.ParameterList([random_tokens(shape, std, task, salt=500 + layer) for layer in range(depth)])
