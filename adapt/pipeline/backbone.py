"""The backbone that the params name, set up to run as they say."""

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
        found = clip.load(backbone.name, paths.weights(backbone.pretrained), device)
    except UserError as error:
        raise UserError(f"params.yaml: backbone.{error}") from None
    malloc.keep_freed_pages()  # now that what loading took is given back
    settings = {"precision": runtime.precision, "text_batch_size": runtime.text_batch_size}
    found = replace(found, pretrained=backbone.pretrained, **settings)  # as given, wherever that leads
    if found.remark:
        stage.log(f"params.yaml: runtime.precision: {found.remark}")
    return found
