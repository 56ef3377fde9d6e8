"""The facts that an exported file carries: its origin and its accuracy."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

import adapt
from adapt.clip.model_configs import POCKET
from adapt.training.run_folder import MEASURED

POCKET_WEIGHTS = "pocket.safetensors"


class Facts(NamedTuple):
    """The facts of an exported model.

    made: the inputs of the run, as in the metadata of prompts.safetensors
    metrics: the content of metrics.json, None if no accuracy is known
    lengths: number of learned tokens by branch and layer
    image_size: pixels along an edge
    """

    made: Mapping[str, Any]
    metrics: Mapping[str, Any] | None
    lengths: Mapping[str, list[int]]
    image_size: int

    @property
    def pretrained(self) -> str:
        """The source of the weights: a tag of open_clip, or a file's name without folder."""
        given = self.made["pretrained"] or POCKET
        return POCKET_WEIGHTS if self.made["backbone"] == POCKET else PurePath(given).name

    def plain(self) -> dict[str, Any]:
        """Return all facts by name; accuracy and shots only if they are known."""
        made, metrics = self.made, self.metrics or {}
        found = {key: made[key] for key in ("method", "preset", "backbone", "weights", "dataset", "template", "seed")}
        found |= {key: metrics[key] for key in (*MEASURED, "zero_shot") if key in metrics}
        return {
            "classes": list(made["classes"]), "image_size": self.image_size, **found, "pretrained": self.pretrained,
            "lengths": dict(self.lengths), "adapt_version": adapt.__version__,
        }  # fmt: skip
