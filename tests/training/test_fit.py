"""Fitting: what is measured beside the training."""

import torch
from torch.nn import functional as F

from adapt.methods._base import Method
from adapt.training import fit
from adapt.training.trainer import TrainLog


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


def test_remark_on_steps_that_could_not_be_recorded_says_why_and_how_to_do_without():
    result = fit.FitResult({}, [], TrainLog(not_recorded="out of luck"), memory=0, flops=0, budget=None)
    assert result.recording_remark() == (
        "training steps were not replayed as CUDA graphs (out of luck): they took longer, with the same results; set "
        "cuda_graphs (params: runtime.cuda_graphs) to false to skip the attempt"
    )


def test_nothing_is_remarked_where_steps_were_recorded():
    assert fit.FitResult({}, [], TrainLog(), memory=0, flops=0, budget=None).recording_remark() is None
