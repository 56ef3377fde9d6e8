"""The origin of a model's numbers, in words."""

from collections.abc import Mapping
from typing import Any

from adapt.api.model import Model
from adapt.clip.model_configs import POCKET


def title(model: Model) -> str:
    """Return the title of the page."""
    return f"{model.name} on {model.made_from['dataset']}"


def facts(model: Model, measured: Mapping[str, Any] | None) -> list[str]:
    """Return the facts needed to interpret a number of this model."""
    made, known = model.made_from, measured or {}
    said = [f"backbone {made['backbone']}", f"preset {made['preset']}", f"weights {made['weights'][:12]}"]
    said += [f"{known['shots']} shots"] if "shots" in known else []
    said.append(f"seed {made['seed']}")
    if measured is None:
        return [*said, "accuracy not measured"]
    images = f" of {known['images']:,} {known.get('split', 'test')} images" if "images" in known else ""
    return [*said, f"accuracy {100 * known['accuracy']:.2f} %{images}"]


def is_pocket(model: Model) -> bool:
    """Return whether the model's numbers cannot be compared with the paper's.

    That is so for the pocket preset and for the pocket CLIP.
    """
    return POCKET in (model.made_from["preset"], model.made_from["backbone"])
