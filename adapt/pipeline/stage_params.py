"""The params that decide a stage's results: data/params/<stage>.json.

DVC could compare them itself, through `params` in dvc.yaml, but it would read params.yaml again for every stage and
write all values into dvc.lock once per stage. So `configure` writes one file per stage, and DVC compares its hash.
"""

from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from adapt.errors import UserError
from adapt.pipeline.params import Params
from adapt.runtime import formats

ROOT = Path("data/params")
ON_TENSORS = tuple(  # these may change rounding
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
}  # other params affect when a result is ready, not the result; the settings of a method are in data/configs/


def of_stage(stage: str, params: Params) -> dict[str, Any]:
    """Return the values that a stage depends on, by key."""
    values = params.model_dump(mode="json")
    return {key: reduce(getitem, key.split("."), values) for key in KEYS[stage]}


def check(stage: str, params: Params) -> None:
    """Refuse params other than those under which DVC files a stage's results.

    Raises: UserError if they differ.
    """
    if stage in KEYS and formats.read_json(ROOT / f"{stage}.json", "dvc repro configure") != of_stage(stage, params):
        raise UserError("params.yaml has changed since `configure` read it; start `dvc repro` again, without -s")
