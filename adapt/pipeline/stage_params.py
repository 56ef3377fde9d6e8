"""Which params decide what a stage makes: data/params/<stage>.json.

DVC could compare them itself, by `params` in dvc.yaml, but it reads params.yaml anew for every stage, and writes all
values into dvc.lock once for every stage. So `configure` leaves one file a stage, and DVC compares its hash.
"""

from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from adapt.errors import UserError
from adapt.pipeline.params import Params
from adapt.runtime import formats

ROOT = Path("data/params")
ON_TENSORS = tuple(  # these may round
    f"runtime.{name}" for name in ("device", "precision", "deterministic", "text_batch_size", "compile")
)
KEYS: dict[str, tuple[str, ...]] = {
    "pretrain": ("pretrain",),
    "inputs": ("datasets", "data", "backbone"),
    "sample": ("shots", "seeds", "data"),
    "pack": ("data", "backbone.name"),
    "teacher": ("preset", "seeds", "data", "backbone", "augment", "teacher", *ON_TENSORS),
    "train": ("preset", "seeds", "backbone", "augment", *ON_TENSORS),
    "evaluate": ("preset", "shots", "seeds", "data", "backbone", "evaluate", *ON_TENSORS),
    "report": ("preset", "shots", "seeds", "datasets", "methods", "backbone.name", "evaluate.split"),
}  # what is in none changes when a result comes, not which; the settings of a method are in data/configs/


def of_stage(stage: str, params: Params) -> dict[str, Any]:
    """The values that a stage depends on, by key."""
    values = params.model_dump(mode="json")
    return {key: reduce(getitem, key.split("."), values) for key in KEYS[stage]}


def check(stage: str, params: Params) -> None:
    """Hold the params that a stage reads to those that DVC will file its results under.

    Raises: UserError where they differ.
    """
    if stage in KEYS and formats.read_json(ROOT / f"{stage}.json", "dvc repro configure") != of_stage(stage, params):
        raise UserError("params.yaml has changed since `configure` looked at it; start `dvc repro` anew, without -s")
