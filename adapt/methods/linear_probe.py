"""Linear probe: logistic regression on frozen image features, by the protocol of CoOp's comparison."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from adapt.data.loader import Batches
from adapt.methods._base import Classifier, Method
from adapt.task import FewShotTask


class LinearProbe(Method):
    """L-BFGS on un-normalised features of the training images as evaluation sees them; C is chosen on the val images.

    First the best of `coarse`, the larger where equal, then `halvings` steps of a search between a tenth and ten times
    of it, the smaller where equal; the last winner is kept.
    """

    tuned = False
    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        task: FewShotTask,
        *,
        coarse: Annotated[list[PositiveFloat], Field(min_length=1)],
        halvings: PositiveInt,
        iterations: PositiveInt,
    ):
        super().__init__(task)
        self.coarse, self.halvings, self.iterations = sorted(coarse, reverse=True), halvings, iterations
        self.register_buffer("weight", torch.zeros(len(task.classes), task.teacher.shape[1]))
        self.register_buffer("bias", torch.zeros(len(task.classes)))

    def prepare(self, train: Batches, val: Batches) -> None:
        """Search C and fit."""
        x, y = train.frozen.numpy(), train.labels.numpy()

        def fit(logarithm: float) -> tuple[float, LogisticRegression]:
            made = LogisticRegression(C=10**logarithm, max_iter=self.iterations).fit(x, y)
            return float((made.predict(val.frozen.numpy()) == val.labels.numpy()).mean()), made

        scores = [fit(float(np.log10(c)))[0] for c in self.coarse]
        peak = float(np.log10(self.coarse[int(np.argmax(scores))]))
        low, high = peak - 1, peak + 1
        for _ in range(self.halvings):
            (left, below), (right, above) = fit(low), fit(high)
            middle, made = (low + high) / 2, above if left < right else below
            low, high = (middle, high) if left < right else (low, middle)
        self.keep(made)

    def keep(self, made: LogisticRegression) -> None:
        """The classifier's numbers; two classes are a single row to scikit-learn."""
        rows, offsets = torch.from_numpy(made.coef_).float(), torch.from_numpy(made.intercept_).float()
        if len(made.classes_) == 2:
            rows, offsets = torch.cat([-rows, rows]) / 2, torch.cat([-offsets, offsets]) / 2
        self.bias.fill_(float("-inf"))  # a class without an image is never told
        self.weight[made.classes_], self.bias[made.classes_] = rows.to(self.weight), offsets.to(self.bias)

    def trainable(self) -> int:
        """Weights and biases."""
        return self.weight.numel() + self.bias.numel()

    def classifier(self) -> Classifier:
        """Logits from frozen features."""
        encode = self.task.backbone.encode_image
        return lambda images: encode(images) @ self.weight.T + self.bias

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Weights and biases, on the backbone's device."""
        super().load(tensors)
        self.to(self.task.backbone.device)
