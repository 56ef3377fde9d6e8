"""Configs, data/configs/<dataset>/<method>.json: every method on every dataset.

All configs are checked before any work. Each run depends on its own file alone, so a changed value of one method does
not affect the runs of the others.
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
    """Return the config of a method on a dataset, from the whole params.

    Raises: UserError, as `resolve`.
    """
    sections = {name: getattr(params, name) for name in resolution.SECTIONS}
    here = params.preset, dataset, params.shots, params.backbone.name
    return resolution.resolve(method, *here, params.method, sections, where(method))


def where(method: str) -> str:
    """Return how messages begin: the place where a method's values are set."""
    return f"params.yaml: method.{method}."


def path_of(dataset: str, method: str) -> Path:
    """Return the path of a method's config on a dataset."""
    return ROOT / dataset / f"{method}.json"


def read(dataset: str, method: str) -> Config:
    """Return the config as `configure` wrote it."""
    return restore(method, formats.read_json(path_of(dataset, method), "dvc repro configure"))


def restore(method: str, content: Any) -> Config:
    """Return a config from the output of its `model_dump`.

    Raises: UserError if this version does not know it.
    """
    try:
        return resolution.restore(method, content)
    except UserError as error:
        raise UserError(f"{error}; run `dvc repro`") from None
