"""Linear probe: logistic regression on frozen image features, by CoOp's protocol."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from adapt.data.loader import FewShotLoader
from adapt.methods._base import Classifier, Method
from adapt.task import FewShotTask


class LinearProbe(Method):
    """Logistic regression by L-BFGS on un-normalised features of the training images.

    The images are as evaluation sees them. The val images choose C: first the best of `search_list` (on ties the larger
    one), then `binary_search_steps` of a binary search between a tenth and ten times that value (on ties the smaller
    one). The winner of the last step is kept.
    """

    trainable = False
    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        task: FewShotTask,
        *,
        search_list: Annotated[list[PositiveFloat], Field(min_length=1)],
        binary_search_steps: PositiveInt,
        max_iter: PositiveInt,
    ):
        super().__init__(task)
        self.search_list = sorted(search_list, reverse=True)
        self.binary_search_steps, self.max_iter = binary_search_steps, max_iter
        device = task.backbone.device
        self.register_buffer("weight", torch.zeros(len(task.classes), task.teacher.shape[1], device=device))
        self.register_buffer("bias", torch.zeros(len(task.classes), device=device))

    def on_fit_start(self, train: FewShotLoader, val: FewShotLoader) -> None:
        """Search for C and fit the classifier."""
        x, y = train.eval_features.numpy(), train.labels.numpy()

        def fit(logarithm: float) -> tuple[float, LogisticRegression]:
            made = LogisticRegression(C=10**logarithm, max_iter=self.max_iter).fit(x, y)
            return float((made.predict(val.eval_features.numpy()) == val.labels.numpy()).mean()), made

        scores = [fit(float(np.log10(c)))[0] for c in self.search_list]
        peak = float(np.log10(self.search_list[int(np.argmax(scores))]))
        low, high = peak - 1, peak + 1
        for _ in range(self.binary_search_steps):
            (left, below), (right, above) = fit(low), fit(high)
            middle, made = (low + high) / 2, above if left < right else below
            low, high = (middle, high) if left < right else (low, middle)
        self.keep(made)

    def keep(self, made: LogisticRegression) -> None:
        """Store the classifier's weights; scikit-learn has one row for two classes."""
        rows, offsets = torch.from_numpy(made.coef_).float(), torch.from_numpy(made.intercept_).float()
        if len(made.classes_) == 2:
            rows, offsets = torch.cat([-rows, rows]) / 2, torch.cat([-offsets, offsets]) / 2
        self.bias.fill_(float("-inf"))  # a class without an image is never predicted
        self.weight[made.classes_], self.bias[made.classes_] = rows.to(self.weight), offsets.to(self.bias)

    def num_trainable(self) -> int:
        """Return the number of weights and biases."""
        return self.weight.numel() + self.bias.numel()

    def classifier(self) -> Classifier:
        """Return the function from images to logits, by frozen features."""
        encode = self.task.backbone.encode_image
        return lambda images: encode(images) @ self.weight.T + self.bias
