"""What an exported file says of itself: where it comes from, and how good it is."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import PurePath
from typing import Any, NamedTuple

from adapt.errors import UserError

POCKET = "pocket"
POCKET_WEIGHTS = "pocket.safetensors"
MEASURED = ("shots", "split", "accuracy", "images")
SAME = ("preset", "backbone", "weights", "dataset", "method", "seed")  # what a run and its metrics agree in


class Facts(NamedTuple):
    """Of an exported model.

    made: what the run was made from, as the metadata of prompts.safetensors have it
    metrics: those of metrics.json, None where no accuracy is known
    lengths: learned tokens by branch and layer
    image_size: pixels along an edge
    """

    made: Mapping[str, Any]
    metrics: Mapping[str, Any] | None
    lengths: Mapping[str, list[int]]
    image_size: int

    def check(self) -> None:
        """Refuse metrics of another run, and such as lack a number; raises UserError."""
        if self.metrics is None:
            return
        if lacking := [key for key in (*SAME, *MEASURED) if key not in self.metrics]:
            raise UserError(f"export: metrics: there is no {lacking[0]}; evaluate the run again")
        for key in SAME:
            if self.metrics[key] != self.made[key]:
                raise UserError(
                    f"export: metrics: they are of the {key} {self.metrics[key]}, but the model is of "
                    f"{self.made[key]}; evaluate the run again"
                )

    @property
    def pretrained(self) -> str:
        """Where the weights came from: a tag of open_clip's, or the name of a file without its folder."""
        given = self.made["pretrained"] or POCKET
        return POCKET_WEIGHTS if self.made["backbone"] == POCKET else PurePath(given).name

    @property
    def version(self) -> str:
        """That of this package."""
        try:
            return metadata.version("adapt-clip")
        except metadata.PackageNotFoundError:  # a checkout that was never installed
            return "unknown"

    def plain(self) -> dict[str, Any]:
        """All facts by name; accuracy and shots only where they are known."""
        made, metrics = self.made, self.metrics or {}
        found = {key: made[key] for key in ("method", "preset", "backbone", "weights", "dataset", "template", "seed")}
        found |= {key: metrics[key] for key in (*MEASURED, "zero_shot") if key in metrics}
        return {
            "classes": list(made["classes"]), "image_size": self.image_size, **found, "pretrained": self.pretrained,
            "lengths": dict(self.lengths), "adapt_version": self.version,
        }  # fmt: skip
