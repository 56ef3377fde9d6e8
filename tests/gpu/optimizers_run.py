"""Facts about optimizers on the pretended GPU."""

import io
import warnings
from types import SimpleNamespace
from unittest import mock

import torch
from torch import Tensor, nn

from adapt.config import AdamWConfig, SGDConfig
from adapt.training import optimizers
from tests.gpu import pretend
from tests.gpu.facts import tell

SGD = SGDConfig(
    name="sgd", lr=0.5, momentum=0.9, weight_decay=0.0, epochs=1, batch_size=4, warmup_epochs=0, warmup_lr=1e-5
)
ADAMW = AdamWConfig(
    name="adamw", lr=0.5, final_lr=0.0, eps=1e-8, weight_decay=0.01, epochs=1, n_iters_per_shot=None, batch_size=4
)
CUDA, CPU = "cuda", "cpu"
Config = SGDConfig | AdamWConfig


def make(config: Config, device: str) -> tuple[torch.optim.Optimizer, nn.Parameter]:
    """An optimizer and what it optimizes."""
    parameter = nn.Parameter(torch.arange(1.0, 4.0).to(device))
    return optimizers.build(config, [parameter]), parameter


def step(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> list[float]:
    """Where a step leads."""
    parameter.grad = parameter.detach() * parameter.detach()
    optimizer.step()
    return parameter.detach().cpu().tolist()


def close(found: list[float], expected: list[float]) -> bool:
    """Whether they differ by rounding alone."""
    return torch.allclose(torch.tensor(found), torch.tensor(expected), rtol=1e-6)


def rate_stays_a_tensor(config: Config) -> bool:
    """The same one, of the GPU."""
    optimizer, _ = make(config, CUDA)
    (group,) = optimizer.param_groups
    before = group["lr"]
    optimizers.set_learning_rate(optimizer, 0.25)
    return isinstance(before, Tensor) and before.is_cuda and group["lr"] is before and before.tolist() == 0.25


def moves(config: Config, source: str, target: str) -> bool:
    """Return whether a state saved on one device continues the same on another."""
    with pretend.off():
        optimizer, parameter = make(config, CPU)
        first, second = step(optimizer, parameter), step(optimizer, parameter)
    optimizer, parameter = make(config, source)
    step(optimizer, parameter)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    state = torch.load(file, map_location=CPU, weights_only=True)  # as a checkpoint is
    optimizer, parameter = make(config, target)
    optimizers.load(optimizer, state)
    with torch.no_grad():
        parameter.copy_(torch.tensor(first))
    return close(step(optimizer, parameter), second)


def rate_of_sgd_stays_a_tensor_of_the_gpu() -> bool:
    return rate_stays_a_tensor(SGD)


def rate_of_adamw_stays_a_tensor_of_the_gpu() -> bool:
    return rate_stays_a_tensor(ADAMW)


def torch_lets_a_step_of_adamw_be_recorded() -> bool:
    """It raises where it does not."""
    optimizer, parameter = make(ADAMW, CUDA)
    capturing = SimpleNamespace(is_capturing=lambda: True)
    with (
        mock.patch.object(torch.accelerator, "current_stream", return_value=capturing),
        mock.patch.object(torch.cuda, "is_current_stream_capturing", return_value=True),  # torch 2.11 asks this
    ):
        return bool(step(optimizer, parameter))


def torch_warns_of_no_step_that_is_not_recorded() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return bool(step(*make(ADAMW, CUDA)))


def state_of_adamw_is_on_the_gpu() -> bool:
    """The number of steps too."""
    optimizer, parameter = make(ADAMW, CUDA)
    step(optimizer, parameter)
    return all(value.is_cuda for value in optimizer.state[parameter].values())


def sgd_goes_on_from_cpu_on_gpu() -> bool:
    return moves(SGD, CPU, CUDA)


def sgd_goes_on_from_gpu_on_cpu() -> bool:
    return moves(SGD, CUDA, CPU)


def adamw_goes_on_from_cpu_on_gpu() -> bool:
    return moves(ADAMW, CPU, CUDA)


def adamw_goes_on_from_gpu_on_cpu() -> bool:
    return moves(ADAMW, CUDA, CPU)


def adamw_goes_on_from_gpu_on_gpu() -> bool:
    return moves(ADAMW, CUDA, CUDA)


def a_state_of_adamw_that_came_from_the_cpu_is_on_the_gpu() -> bool:
    optimizer, parameter = make(ADAMW, CPU)
    step(optimizer, parameter)
    other, moved = make(ADAMW, CUDA)
    optimizers.load(other, optimizer.state_dict())
    return all(value.is_cuda for value in other.state[moved].values())


FACTS = [
    rate_of_sgd_stays_a_tensor_of_the_gpu, rate_of_adamw_stays_a_tensor_of_the_gpu,
    torch_lets_a_step_of_adamw_be_recorded, torch_warns_of_no_step_that_is_not_recorded, state_of_adamw_is_on_the_gpu,
    sgd_goes_on_from_cpu_on_gpu, sgd_goes_on_from_gpu_on_cpu, adamw_goes_on_from_cpu_on_gpu,
    adamw_goes_on_from_gpu_on_cpu, adamw_goes_on_from_gpu_on_gpu,
    a_state_of_adamw_that_came_from_the_cpu_is_on_the_gpu,
]  # fmt: skip


if __name__ == "__main__":
    tell(FACTS)
