"""Prompts as ordinary tokens, replaced at the first layers and carried on beyond: VPT, IVLP, MaPLe, PromptSRC."""

from jaxtyping import Float
from torch import Tensor, nn

from adapt.clip.encoders import NO_INJECTION, Injection, TextInput, split_prefix
from adapt.methods._init_words import first_tokens, padded, random_tokens
from adapt.methods._two_tower import TwoTower
from adapt.task import FewShotTask


class DeepPrompts(TwoTower):
    """The first text prompt replaces the first words of the text; below `prompt_depth` the last ones are propagated.

    The first image prompt stands after the patches and passes ln_pre with them; deeper prompts are put in raw.
    """

    insert_at = 1
    modifies_image_tower = True

    def text_prompts(self) -> list[Float[Tensor, "t d"]]:
        """One prompt a layer down to the depth; none for a text branch left as it is."""
        return []

    def image_prompts(self) -> list[Float[Tensor, "t d"]]:
        """As `text_prompts`, for the image branch."""
        return []

    def injection(self, branch: str) -> Injection:
        """Prompts set anew down to the depth, then carried on."""
        backbone = self.task.backbone
        prompts = self.text_prompts() if branch == "text" else self.image_prompts()
        if not prompts:
            return NO_INJECTION
        first, *deeper = prompts
        position = backbone.text.positional_embedding[1 : len(first) + 1]
        first = first + position if branch == "text" else backbone.model.visual.ln_pre(first)
        return Injection([first, *deeper, *[None] * (backbone.layers[branch] - len(prompts))])


def without_words(task: FewShotTask, words: str, tokens: int) -> TextInput:
    """`WORDS {class}.` for every class, without its first `tokens` tokens, which a prompt replaces."""
    before = padded(task, words, tokens)
    texts = task.tokenize(lambda name: f"{before} {name}.")
    return split_prefix(task.backbone.text, texts, n_ctx=tokens)


def text_parameters(task: FewShotTask, words: str, tokens: int, depth: int, std: float) -> nn.ParameterList:
    """A prompt a layer, the first from the words, the deeper N(0, std²)."""
    shape = (tokens, task.backbone.widths["text"])
    deeper = [random_tokens(shape, std, task, salt=layer) for layer in range(1, depth)]
    return nn.ParameterList([first_tokens(task, words, tokens, std), *deeper])


def image_parameters(task: FewShotTask, tokens: int, depth: int, std: float) -> nn.ParameterList:
    """A prompt a layer, all N(0, std²)."""
    shape = (tokens, task.backbone.widths["image"])
    return nn.ParameterList([random_tokens(shape, std, task, salt=500 + layer) for layer in range(depth)])
