"""The config of a method for a preset, a dataset and a number of shots.

It is resolved from the method's entry in conf/ and checked.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError, create_model

from adapt import methods
from adapt.clip import model_configs
from adapt.config import PRESETS, Config, OptimizerConfig
from adapt.errors import UserError
from adapt.settings.validation import explain

CONDITIONS = ("presets", "shots", "datasets")
SECTIONS = ("prompts", "prune", "distill", "optimizer")  # shared by several methods


@cache
def schema(method: str) -> type[Config]:
    """Return the type of a method's config.

    Its fields are the keyword arguments of the method's constructor and, if the method trains, an optimizer.
    """
    found = methods.find(method)
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in methods.arguments(found).items()}
    if found.trainable:
        fields.setdefault("optimizer", (OptimizerConfig, ...))
    return create_model(method, __base__=Config, **fields)


def check_towers(names: Iterable[str], backbone: str, where: str) -> None:
    """Refuse methods that inject into an image tower which is not a plain ViT.

    where: the beginning of the message: where the methods were chosen.
    Raises: UserError.
    """
    lost = [name for name in names if not supports(name, backbone)]
    if lost:
        raise UserError(
            f"{where}{', '.join(lost)}: these put prompts or adapters into the image tower, and that of {backbone} "
            f"{model_configs.image_tower_mismatch(backbone)}; take them out, or choose a ViT such as "
            "ViT-B-16-quickgelu as the backbone"
        )


def supports(method: str, backbone: str) -> bool:
    """Return whether the backbone has the layers that a method injects into."""
    return not (methods.find(method).modifies_image_tower and model_configs.image_tower_mismatch(backbone))


def resolve(
    method: str, preset: str, dataset: str, shots: int, backbone: str, entries: Mapping[str, Any],
    sections: Mapping[str, Config], where: str, changed: Mapping[str, Any] | None = None,
) -> Config:  # fmt: skip
    """Return a method's config for this preset, dataset and number of shots.

    entries: the section `method` of the params. A key that is missing in the method's entry is taken from the section
        of that name (prompts, prune, distill, optimizer).
    where: the beginning of every message, before the key: where the values were set.
    changed: keys of the method's config that take precedence over its entry and its overrides.
    Raises: UserError with one line for each wrong or contradictory value.
    """
    known = schema(method)
    config = {name: section.model_dump() for name, section in sections.items() if name in known.model_fields}
    here = {"presets": preset, "shots": shots, "datasets": dataset}
    entry = {key: by_preset(value, preset, f"{where}{key}") for key, value in entries.get(method, {}).items()}
    overrides = check_overrides(entry.pop("overrides", []), where)
    config = merge(config, entry)
    for override in overrides:  # those that do not match are checked as well
        validate(method, backbone, known, merge(config, changes(override)), where)
        if holds(override, **here):
            config = merge(config, changes(override))
    same = {
        key: {k: v for k, v in value.items() if k != "name" or v != config[key].get("name")}
        for key, value in (changed or {}).items()
        if isinstance(value, Mapping) and isinstance(config.get(key), Mapping)
    }  # an unchanged name leaves the section's other keys unchanged
    return validate(method, backbone, known, merge(config, {**(changed or {}), **same}), where)


def by_preset(value: Any, preset: str, where: str) -> Any:
    """Replace every `{paper: X, pocket: Y}` within a value by the preset's own value.

    A value that the user sets replaces both, so that no preset changes it back.
    Raises: UserError if the preset's value is missing.
    """
    if isinstance(value, list):
        return [by_preset(item, preset, f"{where}[{number}]") for number, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    if not value or not set(value) <= set(PRESETS):
        return {key: by_preset(item, preset, f"{where}.{key}") for key, item in value.items()}
    if preset not in value:
        raise UserError(f"{where}: it has no value for preset {preset}, got {dict(value)}")
    return value[preset]


def validate(method: str, backbone: str, known: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Return a config of valid types and ranges, without contradictory values.

    Raises: UserError.
    """
    layers = model_configs.layers(backbone)
    try:
        config = known.model_validate(values, context={"layers": layers})
    except ValidationError as error:
        raise UserError("\n".join(f"{where}{explain(problem, known)}" for problem in error.errors())) from None
    try:
        methods.find(method).validate_config(config, layers)
    except ValueError as error:
        raise UserError(f"{where}{error}") from None
    return config


def config_warning(method: str, backbone: str, config: Config) -> str | None:
    """Return a warning about a config that is allowed, or None."""
    return methods.find(method).config_warning(config, model_configs.layers(backbone))


def check_overrides(overrides: Any, where: str) -> list[dict[str, Any]]:
    """Return the overrides of a method, if they are well formed.

    An override has lists of presets, shots or datasets, and the keys that it changes.
    Raises: UserError.
    """
    for number, override in enumerate(overrides if isinstance(overrides, list) else [overrides]):
        conditional = isinstance(override, dict) and any(name in override for name in CONDITIONS)
        if (
            not conditional
            or not all(isinstance(override.get(name, []), list) for name in CONDITIONS)
            or not set(map(str, override.get("presets", []))) <= set(PRESETS)  # a misspelt preset would never match
            or not changes(override)
        ):
            raise UserError(
                f"{where}overrides[{number}]: expected a list of presets, shots or datasets and the keys that it "
                f"changes, got {override!r}"
            )
    return overrides


def holds(override: Mapping[str, Any], **here: Any) -> bool:
    """Return whether an override matches this preset, number of shots and dataset."""
    return all(value in override.get(name, [value]) for name, value in here.items())


def overridden(entry: Mapping[str, Any], **here: Any) -> list[str]:
    """Return the keys that a method's matching overrides set, even if replaced later."""
    overrides = by_preset(entry.get("overrides", []), here["presets"], "overrides")
    found = [changes(override) for override in overrides if holds(override, **here)]
    return list(dict.fromkeys(key for change in found for key in keys(change)))


def keys(values: Mapping[str, Any], above: str = "") -> list[str]:
    """Return the dotted keys of nested values."""
    pairs = [(f"{above}{key}", value) for key, value in values.items()]
    return [k for key, v in pairs for k in (keys(v, f"{key}.") if isinstance(v, Mapping) else [key])]


def changes(override: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that an override changes."""
    return {name: value for name, value in override.items() if name not in CONDITIONS}


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `new` into `old`, section by section.

    A section of `new` that has a `name` replaces the old one as a whole.
    """
    inner = {
        name: merge(old[name], value)
        for name, value in new.items()
        if isinstance(value, Mapping) and isinstance(old.get(name), Mapping) and "name" not in value
    }
    return {**old, **new, **inner}


def restore(method: str, content: Any) -> Config:
    """Rebuild a config from its `model_dump`.

    Raises: UserError if this version of the method does not accept it.
    """
    try:
        return schema(method).model_validate(content)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all'}: {e['msg']}" for e in error.errors())
        raise UserError(f"the config is of another version of {method} ({reasons})") from None
