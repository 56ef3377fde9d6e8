"""What open_clip's architecture files say, read without importing open_clip (which takes seconds)."""

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

MODELS = Path("models")  # architectures that ship with this repository


@cache
def files() -> dict[str, Path]:
    """Architecture file by model name: open_clip's own and those in models/."""
    spec = importlib.util.find_spec("open_clip")
    places = (spec and spec.submodule_search_locations) or []
    found: dict[str, Path] = {}
    for root in [*(Path(place) / "model_configs" for place in places), MODELS]:
        found |= {path.stem: path for path in root.glob("*.json")}
    return found


def names() -> list[str]:
    """All model names that can be asked for."""
    return sorted(files())


def config(name: str) -> dict[str, Any]:
    """The architecture of a model."""
    return json.loads(files()[name].read_text())


def layers(name: str) -> dict[str, int]:
    """Layers per branch; a branch whose tower is not a plain open_clip transformer has none to prompt."""
    described = config(name)
    counts = {"text": described["text_cfg"].get("layers", 0), "image": described["vision_cfg"].get("layers", 0)}
    return {branch: count if isinstance(count, int) else 0 for branch, count in counts.items()}
