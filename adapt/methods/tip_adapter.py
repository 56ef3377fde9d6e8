"""Tip-Adapter (Zhang et al. 2022): zero-shot CLIP and a cache, without tuning.

The cache holds the features of the few-shot images.
"""

from collections.abc import Mapping
from functools import cached_property

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from adapt.config import Pair, Templates
from adapt.data.loader import FewShotLoader
from adapt.methods._base import Classifier
from adapt.methods._two_tower import TwoTower
from adapt.task import FewShotTask


class TipAdapter(TwoTower):
    """logits = scale · f·Wᵀ + alpha · exp(-beta·(1 - f·keysᵀ))·values.

    keys: each training image's frozen feature, the mean over its views; values: one-hot labels.
    alpha and beta are searched on the val images, from 0.1 to `search_scale` (excluded) in `search_step` steps. Both
    settings are in the order beta, alpha (as in the authors' configs). On ties the smallest beta wins, then the
    smallest alpha.
    templates: of the text W; None: the dataset's own, several: the mean.
    """

    trainable = False
    keys: Tensor
    labels: Tensor
    mix: Tensor  # alpha and beta

    def __init__(
        self,
        task: FewShotTask,
        *,
        init_alpha: NonNegativeFloat,
        init_beta: NonNegativeFloat,
        search_scale: Pair[NonNegativeFloat],
        search_step: Pair[PositiveInt],
        templates: Templates | None,
    ):
        super().__init__(task)
        self.templates = templates
        self.betas, self.alphas = (
            torch.arange(n) * (to - 0.1) / n + 0.1 for to, n in zip(search_scale, search_step, strict=True)
        )
        self.register_buffer("keys", torch.zeros(0, task.teacher.shape[1]))
        self.register_buffer("labels", torch.zeros(0, dtype=torch.long))
        self.register_buffer("mix", torch.tensor([init_alpha, init_beta]))

    @cached_property
    def frozen_text(self) -> Float[Tensor, "c f"]:
        """The class embeddings."""
        return self.task.frozen_text_features(self.templates)

    def text_features(self) -> Float[Tensor, "c f"]:
        """Return the frozen class embeddings."""
        return self.frozen_text

    def on_fit_start(self, train: FewShotLoader, val: FewShotLoader) -> None:
        """Fill the cache, then search for alpha and beta."""
        device = self.task.backbone.device
        self.put("keys", F.normalize(train.view_features.mean(dim=1), dim=-1).to(device))
        self.put("labels", train.labels.to(device))
        self.mix = self.mix.to(device)
        self.seen = (F.normalize(val.eval_features, dim=-1).to(device), val.labels.to(device))
        self.search()

    def put(self, name: str, value: Tensor) -> None:
        """Replace a part of the cache; the sizes may differ."""
        setattr(self, name, value)

    @torch.no_grad()
    def search(self) -> None:
        """Set alpha and beta to the best pair on the val images, the first one on ties.

        They do not change if no pair predicts any image correctly.
        """
        features, labels = self.seen
        plain, likeness = self.task.backbone.logit_scale * features @ self.frozen_text.T, features @ self.keys.T
        best = 0
        for beta in self.betas.tolist():
            cached = torch.exp(-beta * (1 - likeness)) @ self.values()
            for alpha in self.alphas.tolist():
                right = int(((plain + alpha * cached).argmax(dim=1) == labels).sum())
                if right > best:
                    best, self.mix = right, torch.tensor([alpha, beta], device=self.mix.device)

    def values(self) -> Float[Tensor, "n c"]:
        """Return the one-hot labels of the cache."""
        return F.one_hot(self.labels, len(self.task.classes)).float()

    def logits(self, features: Float[Tensor, "b f"], text: Float[Tensor, "c f"]) -> Float[Tensor, "b c"]:
        """Return the zero-shot logits plus the cache's logits."""
        alpha, beta = self.mix
        cached = torch.exp(-beta * (1 - features @ self.keys.T)) @ self.values()
        return self.task.backbone.logit_scale * features @ text.T + alpha * cached

    def classifier(self) -> Classifier:
        """Return the function from images to logits, by frozen features."""
        return lambda images: self.logits(self.image_features(images), self.frozen_text)

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Load a cache of any size."""
        for name, value in tensors.items():
            self.put(name, value.to(self.task.backbone.device))
