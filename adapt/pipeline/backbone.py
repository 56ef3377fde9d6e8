"""The backbone that the params name, set up to run as they say; on the CPU, from where each seed's process takes it."""

from dataclasses import replace

import torch

from adapt.clip import backbone as clip
from adapt.config import BackboneConfig, RuntimeConfig
from adapt.errors import UserError
from adapt.pipeline import paths, stage
from adapt.runtime import malloc
from adapt.training import numerics


def load(backbone: BackboneConfig, runtime: RuntimeConfig) -> clip.Backbone:
    """The frozen backbone; what holds for all of PyTorch is set.

    Raises: UserError as `clip.load`, with the key of params.yaml.
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
    malloc.keep_freed_pages()  # now that what loading took is given back
    settings = {"text_batch_size": runtime.text_batch_size, "compile": runtime.compile and device != "cpu"}
    found = replace(found, pretrained=backbone.pretrained, **settings)  # as given, wherever that leads
    if found.remark and device == "cpu":
        stage.log(f"params.yaml: runtime.precision: {found.remark}")
    if runtime.compile and device == "cpu":
        stage.log("params.yaml: runtime.compile: it holds on a GPU alone; on this CPU blocks run as they are")
    return found


def on_device(backbone: clip.Backbone, runtime: RuntimeConfig) -> clip.Backbone:
    """The backbone on the device that the params name; no process for a GPU can be forked after it."""
    return backbone.to(torch.device(clip.choose_device(runtime.device)))
