"""The settings of a fit: those of conf/, with what the caller changes by keyword."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from pydantic import ValidationError

from adapt import methods
from adapt.api.clip import POCKET
from adapt.clip.backbone import Backbone
from adapt.config import (
    PRESETS,
    AugmentConfig,
    Config,
    DistillConfig,
    OptimizerConfig,
    Preset,
    PromptsConfig,
    PruneConfig,
    TeacherConfig,
)
from adapt.data.dataset import FewShotDataset
from adapt.errors import UserError, nearest
from adapt.runtime import yaml
from adapt.settings import resolution
from adapt.settings.composition import compose
from adapt.settings.validation import explain

SHARED = ("augment", "teacher")  # sections that are the same for every method
WHERE = "adapt.fit: "


class Defaults(Config):
    """What conf/ says of fitting, for a preset."""

    augment: AugmentConfig
    teacher: TeacherConfig
    prompts: PromptsConfig
    prune: PruneConfig
    distill: DistillConfig
    optimizer: OptimizerConfig
    method: dict[str, dict[str, Any]]


class Settings(NamedTuple):
    """All settings of a fit."""

    preset: Preset
    config: Config
    augment: AugmentConfig
    teacher: TeacherConfig


@cache
def defaults(preset: str) -> Defaults:
    """The defaults of a preset."""
    values = yaml.parse(compose([f"preset={preset}"]))
    return Defaults.model_validate({name: values[name] for name in Defaults.model_fields})


def choose_preset(preset: Preset | None, clip: Backbone) -> Preset:
    """The preset that is asked for, else the pocket for the pocket CLIP and the paper for all others."""
    if preset is None:
        return "pocket" if clip.name == POCKET else "paper"
    if preset not in PRESETS:
        raise UserError(f"{WHERE}unknown preset {preset!r}; {nearest(preset, PRESETS)}")
    return preset


def resolve(
    method: str, clip: Backbone, data: FewShotDataset, preset: Preset | None, changed: Mapping[str, Any]
) -> Settings:
    """The settings of a method for this CLIP and dataset.

    Raises: UserError with one line for each wrong or contradicting value, and for a method that cannot be used.
    """
    if method not in methods.names():
        raise UserError(f"{WHERE}unknown method {method!r}; {nearest(method, methods.names())}")
    resolution.check_towers([method], clip.name, WHERE)
    preset = choose_preset(preset, clip)
    augment, teacher = shared(preset, changed)
    found, own = defaults(preset), {key: value for key, value in changed.items() if key not in SHARED}
    sections = {name: getattr(found, name) for name in resolution.SECTIONS}
    config = resolution.resolve(
        method, preset, data.name, data.shots, clip.name, found.method, sections, WHERE, changed=own
    )
    return Settings(preset, config, augment, teacher)


def shared(preset: str, changed: Mapping[str, Any]) -> tuple[AugmentConfig, TeacherConfig]:
    """The sections that are the same for every method."""
    found = defaults(preset)
    return section(found.augment, "augment", changed), section(found.teacher, "teacher", changed)


def section(default: Any, name: str, changed: Mapping[str, Any]) -> Any:
    """A section with what the caller changes of it."""
    values = changed.get(name, {})
    if not isinstance(values, Mapping):
        raise UserError(f"{WHERE}{name}: expected a mapping of settings, got {values!r}")
    try:
        return type(default).model_validate({**default.model_dump(), **values})
    except ValidationError as error:
        raise UserError("\n".join(f"{WHERE}{name}.{explain(p, type(default))}" for p in error.errors())) from None
