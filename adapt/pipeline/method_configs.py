"""The config of every method on every dataset, checked before any work: data/configs/<dataset>/<method>.json.

Each run depends on its own file alone: a changed value of one method leaves the runs of the others as they are.
"""

from pathlib import Path
from typing import Any

from adapt.config import Config
from adapt.errors import UserError
from adapt.pipeline.params import Params
from adapt.runtime import formats
from adapt.settings import resolution

ROOT = Path("data/configs")


def of_params(params: Params, method: str, dataset: str) -> Config:
    """The config of a method on a dataset, as the whole of the params has it; raises UserError as `resolve`."""
    sections = {name: getattr(params, name) for name in resolution.SECTIONS}
    here = params.preset, dataset, params.shots, params.backbone.name
    return resolution.resolve(method, *here, params.method, sections, where(method))


def where(method: str) -> str:
    """Where the values of a method are set, as messages begin."""
    return f"params.yaml: method.{method}."


def path_of(dataset: str, method: str) -> Path:
    """Where the config of a method on a dataset is."""
    return ROOT / dataset / f"{method}.json"


def read(dataset: str, method: str) -> Config:
    """The config as `configure` wrote it."""
    return restore(method, formats.read_json(path_of(dataset, method), "dvc repro configure"))


def restore(method: str, content: Any) -> Config:
    """A config from what `model_dump` made of it; raises UserError when this version does not know it."""
    try:
        return resolution.restore(method, content)
    except UserError as error:
        raise UserError(f"{error}; run `dvc repro`") from None
