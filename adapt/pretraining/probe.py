"""Scores of a frozen CLIP on a dataset: zero-shot and linear-probe accuracy."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from adapt.clip.backbone import Backbone
from adapt.data.dataset import Dataset, Sample, center_crop
from adapt.data.sampling import sample

Features = NDArray[np.float32]
SHOTS = 16
SEEDS = (1, 2, 3)
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)  # inverse regularisation of the probe, chosen on the val images


@torch.no_grad()
def embed_images(backbone: Backbone, dataset: Dataset, items: Sequence[Sample]) -> tuple[Features, NDArray[np.int64]]:
    """Return normalised features [n, d] and labels [n]."""
    pixels = torch.from_numpy(np.stack([center_crop(dataset.read(item.path), backbone.image_size) for item in items]))
    features = backbone.model.encode_image(backbone.normalise(pixels), normalize=True)
    return features.cpu().numpy(), np.array([item.label for item in items])


@torch.no_grad()
def embed_classes(backbone: Backbone, dataset: Dataset) -> Features:
    """Return normalised features [c, d] of the class names in the dataset's template."""
    tokens = backbone.tokenize([dataset.template.format(name) for name in dataset.classes])
    return backbone.model.encode_text(tokens, normalize=True).cpu().numpy()


def zero_shot(backbone: Backbone, dataset: Dataset, items: Sequence[Sample]) -> float:
    """Return the zero-shot accuracy on the items, a fraction."""
    features, labels = embed_images(backbone, dataset, items)
    return float(np.mean((features @ embed_classes(backbone, dataset).T).argmax(1) == labels))


def linear_probe(backbone: Backbone, dataset: Dataset, items: Sequence[Sample], shots: int, seed: int) -> float:
    """Return the accuracy of a linear probe on the items, a fraction.

    The probe is a logistic regression on the features of `shots` images per class; its regularisation is chosen on the
    val images.
    """
    subset = sample(dataset.train, dataset.val, shots, seed)
    train, val, rest = (embed_images(backbone, dataset, part) for part in (subset.train, subset.val, items))
    probes = [LogisticRegression(C=strength, max_iter=2000).fit(*train) for strength in STRENGTHS]
    return float(max(probes, key=lambda probe: probe.score(*val)).score(*rest))


def score(backbone: Backbone, dataset: Dataset, split: Literal["val", "test"]) -> dict[str, Any]:
    """Return a row of the table of scores on a split.

    It has the number of images and both accuracies (fractions), the probe's as mean and standard deviation over seeds.
    """
    items = getattr(dataset, split)
    probes = [linear_probe(backbone, dataset, items, SHOTS, seed) for seed in SEEDS]
    return {
        "dataset": dataset.name,
        "classes": len(dataset.classes),
        "images": len(items),
        "zero_shot": round(zero_shot(backbone, dataset, items), 4),
        "linear_probe": round(float(np.mean(probes)), 4),
        "linear_probe_std": round(float(np.std(probes, ddof=1)), 4),
    }
