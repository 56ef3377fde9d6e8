"""Key/value prompts and distillation in both towers, for `adapt` and its controls."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from adapt.clip.encoders import Injection
from adapt.config import DistillConfig, PromptsConfig
from adapt.data.loader import Batch
from adapt.distillation import DISTANCES, Features
from adapt.methods._init_words import first_tokens
from adapt.methods._two_tower import LossTerm, TwoTower
from adapt.prompts import BRANCHES, Prompts
from adapt.task import FewShotTask


def initial_prompts(task: FewShotTask, lengths: Mapping[str, Sequence[int]], config: PromptsConfig) -> Prompts:
    """Draw `lengths[branch][layer]` tokens for each layer from N(0, init_std²).

    With `ctx_init`, the tokens of the first text layer are instead the first tokens of these words (as MaPLe and
    PromptSRC start their first text prompt). So the initial class embeddings are near the frozen model's.
    """
    prompts = Prompts.initialise(lengths, task.backbone.widths, std=config.init_std, seed=task.seed)
    if config.ctx_init is not None:
        first = lengths["text"][0]
        prompts.tokens["text"].data[:first] = first_tokens(task, config.ctx_init, first, config.init_std)
    return prompts


class KeyValuePrompts(TwoTower):
    """A frozen CLIP with prompts as keys and values at every layer of both towers.

    Loss (stated): cross-entropy + λ_text · distance over classes + λ_image · distance over instances.
    """

    modifies_image_tower = True

    def __init__(self, task: FewShotTask, prompts: Prompts, distill: DistillConfig | None):
        super().__init__(task)
        self.prompts = prompts.to(task.backbone.device)
        self.distill = distill

    def gates(self, branch: str) -> Tensor | None:
        """Return additive biases on the keys of the prompt tokens; None for none."""
        return None

    def injection(self, branch: str) -> Injection:
        """Return a new prompt for every layer."""
        return Injection(self.prompts.by_layer(branch), self.prompts.split(branch, self.gates(branch)))

    def loss_terms(self, student: Features, batch: Batch) -> list[LossTerm]:
        """Return the text and the image distance to the teacher."""
        if self.distill is None:
            return []
        teacher = Features(self.task.teacher, batch.teacher)
        text, image = DISTANCES[self.distill.kind](student, teacher, self.task.backbone.logit_scale)
        return [LossTerm("distill_text", self.distill.text, text), LossTerm("distill_image", self.distill.image, image)]

    def lengths(self) -> dict[str, list[int]]:
        """Return the number of tokens by branch and layer."""
        return {branch: self.prompts.lengths(branch) for branch in BRANCHES}

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the prompts with their slots."""
        return self.prompts.to_tensors()

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Load tuned prompts of any lengths."""
        self.prompts = Prompts.from_tensors(tensors, self.task.backbone.layers).to(self.task.backbone.device)
