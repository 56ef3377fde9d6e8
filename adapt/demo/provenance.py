"""Where the numbers of a model come from, in words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapt.api.clip import POCKET
from adapt.api.model import Model
from adapt.errors import UserError
from adapt.runtime import formats

METRICS = "metrics.json"
SAME = ("preset", "backbone", "weights", "dataset", "method", "seed")  # in metrics.json as in what a run is made from


def metrics(run: Path, made_from: Mapping[str, Any]) -> dict[str, Any] | None:
    """The metrics of a run, where it has any; raises UserError for those of another run."""
    if not (run / METRICS).is_file():
        return None
    found = formats.read_json(run / METRICS, "make repro")
    values = found if isinstance(found, dict) else {}
    other = [key for key in SAME if values.get(key) != made_from[key]]
    if other or not isinstance(values.get("accuracy"), float | int):
        raise UserError(f"{run / METRICS} is not of this run ({', '.join(other) or 'no accuracy'}); move it away")
    return values


def title(model: Model) -> str:
    """The title of the page."""
    return f"{model.name} on {model.made_from['dataset']}"


def facts(model: Model, measured: Mapping[str, Any] | None) -> list[str]:
    """What a number of this model has to be read with."""
    made, known = model.made_from, measured or {}
    said = [f"backbone {made['backbone']}", f"preset {made['preset']}", f"weights {made['weights'][:12]}"]
    said += [f"{known['shots']} shots"] if "shots" in known else []
    said.append(f"seed {made['seed']}")
    if measured is None:
        return [*said, "accuracy not measured"]
    images = f" of {known['images']:,} {known.get('split', 'test')} images" if "images" in known else ""
    return [*said, f"accuracy {100 * known['accuracy']:.2f} %{images}"]


def is_pocket(model: Model) -> bool:
    """Whether no number of the model is of the paper's kind."""
    return POCKET in (model.made_from["preset"], model.made_from["backbone"])
