"""Zero-shot CLIP: the dataset's template, nothing trained."""

from adapt.methods._prompted import Prompted
from adapt.prompts import Prompts, spread
from adapt.task import Task


class ZeroShot(Prompted):
    """The frozen model with no prompts at all (Radford et al. 2021, one hand-crafted template)."""

    def __init__(self, task: Task):
        backbone = task.backbone
        none = Prompts.initialise(spread(0, backbone.layers), backbone.widths, std=1.0, seed=0)
        super().__init__(task, none, kind="none", text=0.0, image=0.0)
