"""Run out of the pretended GPU's memory, and print the outcome.

    FAKE_GB=… python -m tests.gpu.oom_run CLASSES

Nothing is computed (see fakecuda.c), but memory is taken as on a GPU.
"""

import gc
import json
import logging
import sys
from dataclasses import replace

import torch
from torch.nn import functional as F

from adapt.clip import oom
from adapt.clip.backbone import Backbone, freeze
from adapt.data.loader import Batch
from adapt.task import FewShotTask
from tests.conftest import CLASSES, small_clip
from tests.gpu.computed import CUDA, Computed
from tests.methods.test_methods import build


def main() -> None:
    """See above."""
    torch.backends.cudnn.enabled = False
    torch.backends.cuda.enable_cudnn_sdp(False)
    logging.disable(logging.WARNING)
    count = int(sys.argv[1])
    names = CLASSES * (count // len(CLASSES))
    with Computed():
        backbone = freeze("tiny", small_clip().model.to(CUDA), CUDA)
        batch = Batch(
            lambda: torch.zeros(4, 3, backbone.image_size, backbone.image_size, device=CUDA),
            torch.zeros(4, dtype=torch.long, device=CUDA),
            F.normalize(torch.ones(4, backbone.text.text_projection.shape[1], device=CUDA), dim=-1),
        )
        teacher = F.normalize(torch.ones(count, batch.teacher.shape[1], device=CUDA), dim=-1)
    sizes: list[int] = []

    def step(backbone: Backbone) -> int:
        sizes.append(backbone.text_batch_size or count)
        task = FewShotTask(backbone, "a photo of a {}.", names, teacher, seed=1)
        with Computed():
            method = build("adapt", task)
            assert len(task.text.lengths) == count
        method.losses(batch)[0].backward()
        return sizes[-1]

    def fits(size: int) -> bool:
        gc.collect()
        torch.cuda.empty_cache()
        try:
            return bool(step(replace(backbone, text_batch_size=size)))
        except torch.OutOfMemoryError:
            return False

    went_on_with = oom.retry_with_smaller_text_batch(step, backbone, count)
    tried = sizes.copy()
    print(json.dumps({"tried": tried, "went_on_with": went_on_with, "twice_as_many_fit": fits(2 * went_on_with)}))


if __name__ == "__main__":
    main()
