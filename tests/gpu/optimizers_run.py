"""What is true of optimizers on the pretended GPU: a line of JSON with the truth of every fact, or what it raised."""

import json

import torch
from torch import Tensor, nn

from adapt.config import SGDConfig
from adapt.training import optimizers
from tests.gpu import pretend

SGD = SGDConfig(
    name="sgd", lr=0.5, momentum=0.9, weight_decay=0.0, epochs=1, batch_size=4, warmup_epochs=0, warmup_lr=1e-5
)
CUDA = "cuda"


def rate_is_a_tensor_of_the_gpu() -> bool:
    """Which stays the same one."""
    optimizer = optimizers.build(SGD, [nn.Parameter(torch.ones(3, device=CUDA))])
    (group,) = optimizer.param_groups
    before = group["lr"]
    optimizers.set_learning_rate(optimizer, 0.25)
    return isinstance(before, Tensor) and before.is_cuda and group["lr"] is before and before.tolist() == 0.25


FACTS = [rate_is_a_tensor_of_the_gpu]


def main() -> None:
    """See above."""
    found: dict[str, bool | str] = {}
    with pretend.Pretend():
        for fact in FACTS:
            try:
                found[fact.__name__] = fact()
            except Exception as error:
                found[fact.__name__] = f"{type(error).__name__}: {error}"
    print(json.dumps(found))


if __name__ == "__main__":
    main()
