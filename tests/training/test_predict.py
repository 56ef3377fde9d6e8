"""Predicting with a method."""

import numpy as np
import torch
from torchvision.transforms.v2.functional import to_pil_image

from adapt import methods
from adapt.data.dataset import center_crop
from adapt.training.predict import accuracy_under_way, predict
from tests.methods.test_methods import settle


def test_accuracy_under_way_is_that_of_the_predictions(task, batches):
    """Over all eleven images; the last batch has three."""
    method = methods.build("adapt", task, dict(settle("adapt")))
    seen = np.stack([center_crop(to_pil_image(image), batches.image_size) for image in batches.images])
    guesses = torch.tensor(predict(method, seen, batch_size=4))
    right = int((guesses == batches.labels).sum())
    assert 0 < right < 11 and accuracy_under_way(method, batches) == right / 11


def test_method_goes_on_as_it_was(task, batches):
    method = methods.build("adapt", task, dict(settle("adapt"))).train()
    accuracy_under_way(method, batches)
    assert method.training
