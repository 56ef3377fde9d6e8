"""The backbone of the params, set up as they say.

It is on the CPU: each seed's process moves it from there.
"""

from dataclasses import replace

import torch

from adapt.clip import backbone as clip
from adapt.config import BackboneConfig, RuntimeConfig
from adapt.errors import UserError
from adapt.pipeline import paths, stage
from adapt.runtime import malloc
from adapt.training import numerics


def load(backbone: BackboneConfig, runtime: RuntimeConfig) -> clip.Backbone:
    """Load the frozen backbone and configure PyTorch.

    Raises: UserError, as `clip.load`, with the key of params.yaml.
    """
    torch.set_num_threads(numerics.THREADS)
    numerics.set_matmul_precision(runtime.precision)
    if runtime.deterministic:
        numerics.enable_determinism()
    try:
        device = clip.choose_device(runtime.device)
    except UserError as error:
        raise UserError(f"params.yaml: runtime.{error}") from None
    try:
        found = clip.load(backbone.name, paths.weights(backbone.pretrained), "cpu", runtime.precision)
    except UserError as error:
        raise UserError(f"params.yaml: backbone.{error}") from None
    malloc.keep_freed_pages()  # after the memory for loading has been returned
    settings = {"text_batch_size": runtime.text_batch_size, "compile": runtime.compile and device != "cpu"}
    found = replace(found, pretrained=backbone.pretrained, **settings)  # as given in the params, not resolved
    if found.remark and device == "cpu":
        stage.log(f"params.yaml: runtime.precision: {found.remark}")
    if runtime.compile and device == "cpu":
        stage.log("params.yaml: runtime.compile: only blocks on a GPU are compiled; on this CPU they run uncompiled")
    return found


def on_device(backbone: clip.Backbone, runtime: RuntimeConfig) -> clip.Backbone:
    """Return the backbone on the device of the params.

    After this, no process that uses the GPU can be forked.
    """
    return backbone.to(torch.device(clip.choose_device(runtime.device)))
