"""Key/value prompts in both towers with distillation: what `adapt` and its controls share."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from adapt.data.batches import Batch
from adapt.distill import DISTANCES, Features, logits
from adapt.encoders import encode_image, encode_text
from adapt.methods._method import Classifier, Method
from adapt.prompts import BRANCHES, Prompts
from adapt.task import Task


class Prompted(Method):
    """A frozen CLIP with prompts as keys and values at every layer of both towers.

    Loss (stated): cross-entropy + λ_text · distance over classes + λ_image · distance over instances.
    """

    def __init__(self, task: Task, prompts: Prompts, *, kind: str, text: float, image: float):
        super().__init__()
        self.task = task
        self.prompts = prompts.to(task.backbone.device)
        self.distance = DISTANCES[kind]
        self.weights = (text, image)

    def gates(self) -> dict[str, Tensor | None]:
        """Additive key biases by branch that the next step's losses go through; None for none."""
        return dict.fromkeys(BRANCHES)

    def text_features(self, gate: Tensor | None = None) -> Float[Tensor, "c f"]:
        """Normalised embeddings of the classes."""
        prompts, model = self.prompts, self.task.backbone.model
        features = encode_text(model, self.task.text, prompts.by_layer("text"), prompts.split("text", gate))
        return F.normalize(features, dim=-1)

    def image_features(self, images: Float[Tensor, "b 3 y x"], gate: Tensor | None = None) -> Float[Tensor, "b f"]:
        """Normalised embeddings of images."""
        prompts, model = self.prompts, self.task.backbone.model
        features = encode_image(model, images, prompts.by_layer("image"), prompts.split("image", gate))
        return F.normalize(features, dim=-1)

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy and both distances to the teacher."""
        gates, scale = self.gates(), self.task.backbone.scale
        student = Features(self.text_features(gates["text"]), self.image_features(batch.images, gates["image"]))
        cross_entropy = F.cross_entropy(logits(student, scale), batch.labels)
        text, image = self.distance(student, Features(self.task.teacher, batch.teacher), scale)
        loss = cross_entropy + self.weights[0] * text + self.weights[1] * image
        return loss, {"cross_entropy": cross_entropy, "distill_text": text, "distill_image": image}

    def classifier(self) -> Classifier:
        """Logits of images against the classes' embeddings, which are computed once."""
        text, scale = self.text_features(), self.task.backbone.scale
        return lambda images: logits(Features(text, self.image_features(images)), scale)

    def lengths(self) -> dict[str, list[int]]:
        """Tokens by branch and layer."""
        return {branch: self.prompts.lengths(branch) for branch in BRANCHES}

    def tensors(self) -> dict[str, Tensor]:
        """The prompts."""
        return self.prompts.tensors()

    @classmethod
    def restore(cls, task: Task, tensors: Mapping[str, Tensor]) -> "Prompted":
        """Prompts that were tuned, for evaluation alone: nothing of the training is set up."""
        method = cls.__new__(cls)
        prompts = Prompts.restore(tensors, task.backbone.layers)
        Prompted.__init__(method, task, prompts, kind="none", text=0.0, image=0.0)
        return method

    def resume(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with the prompts of a checkpoint."""
        self.prompts = Prompts.restore(tensors, self.task.backbone.layers).to(self.task.backbone.device)
