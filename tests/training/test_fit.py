"""Fitting: what is measured beside the training."""

import torch
from torch.nn import functional as F

from adapt.methods._base import Method
from adapt.training import fit


def test_flops_of_a_step_are_those_of_its_matrix_products(task, batches):
    """Of a linear map of every image to every class."""

    class Linear(Method):
        def __init__(self, task):
            super().__init__(task)
            self.weight = torch.nn.Parameter(torch.zeros(5, 3 * 32 * 32))

        def losses(self, batch):
            return F.cross_entropy(F.linear(batch.images.flatten(1), self.weight), batch.labels), {}

    size = 4 * 3 * 32 * 32 * 5
    assert fit.count_flops(Linear(task), batches) == 4 * size  # two forward, two for the gradient
