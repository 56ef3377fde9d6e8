"""The settings of a fit: those of conf/, changed by the caller's keywords."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from adapt import methods
from adapt.clip.backbone import Backbone
from adapt.clip.model_configs import POCKET
from adapt.config import PRESETS, AugmentConfig, Config, FitConfig, Preset, TeacherConfig
from adapt.data.dataset import FewShotDataset
from adapt.errors import UserError, nearest
from adapt.runtime import yaml
from adapt.settings import resolution
from adapt.settings.composition import compose
from adapt.settings.validation import explain

SHARED = ("augment", "teacher")  # sections that are the same for every method
WHERE = "adapt.fit"


class Settings(NamedTuple):
    """All settings of a fit."""

    preset: Preset
    config: Config
    augment: AugmentConfig
    teacher: TeacherConfig


@cache
def defaults(preset: str) -> FitConfig:
    """Return the defaults of a preset."""
    values = yaml.parse(compose([f"preset={preset}"]))
    return FitConfig.model_validate({name: values[name] for name in FitConfig.model_fields})


def choose_preset(preset: Preset | None, clip: Backbone, where: str) -> Preset:
    """Return the preset that is asked for, or the default of this CLIP.

    The default is pocket for the pocket CLIP, and paper for all others.
    """
    if preset is None:
        return "pocket" if clip.name == POCKET else "paper"
    if preset not in PRESETS:
        raise UserError(f"{where}: unknown preset {preset!r}; {nearest(preset, PRESETS)}")
    return preset


def resolve(
    method: str, clip: Backbone, data: FewShotDataset, preset: Preset | None, changed: Mapping[str, Any]
) -> Settings:
    """Return the settings of a method for this CLIP and dataset.

    Raises:
        UserError: with one line for each wrong or contradicting value, and for a method that cannot be used.
    """
    if method not in methods.names():
        raise UserError(f"{WHERE}: unknown method {method!r}; {nearest(method, methods.names())}")
    resolution.check_towers([method], clip.name, f"{WHERE}: ")
    preset = choose_preset(preset, clip, WHERE)
    changed = plain(changed)
    only(changed, {*resolution.schema(method).model_fields, *SHARED}, WHERE)
    augment, teacher = shared(preset, changed, WHERE)
    found, own = defaults(preset), {key: value for key, value in changed.items() if key not in SHARED}
    sections = {name: getattr(found, name) for name in resolution.SECTIONS}
    here = preset, data.name, data.shots, clip.name
    config = resolution.resolve(method, *here, found.method, sections, f"{WHERE}: ", changed=own)
    return Settings(preset, config, augment, teacher)


def only(changed: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise UserError for settings that are not known."""
    if unknown := [key for key in changed if key not in known]:
        raise UserError(f"{where}: {unknown[0]}: unknown key; {nearest(unknown[0], known)}")


def plain(value: Any) -> Any:
    """Return settings as plain YAML values.

    Tuples and the containers of OmegaConf become lists and mappings, values of numpy become numbers and lists.
    """
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return plain(value.tolist()) if isinstance(value, np.ndarray | np.generic) else value


def shared(preset: Preset, changed: Mapping[str, Any], where: str) -> tuple[AugmentConfig, TeacherConfig]:
    """Return the sections that are the same for every method."""
    found = defaults(preset)
    return section(found.augment, "augment", changed, where), section(found.teacher, "teacher", changed, where)


def section(default: Any, name: str, changed: Mapping[str, Any], where: str) -> Any:
    """Return a section with the caller's changes."""
    values = changed.get(name, {})
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: {name}: expected a mapping of settings, got {values!r}")
    try:
        return type(default).model_validate({**default.model_dump(), **values})
    except ValidationError as error:
        raise UserError("\n".join(f"{where}: {name}.{explain(p, type(default))}" for p in error.errors())) from None
