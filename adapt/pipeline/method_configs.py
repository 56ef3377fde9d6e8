"""The settings of every method on every dataset, checked before any work: data/settings/<dataset>/<method>.json.

Each run depends on its own file alone: a changed knob of one method leaves the runs of the others as they are.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError, create_model

from adapt import methods
from adapt.clip import model_configs
from adapt.config import Config, OptimizerConfig
from adapt.errors import UserError
from adapt.pipeline.params import explain
from adapt.runtime import files

ROOT = Path("data/settings")
VALIDATED = Path("data/checked")  # always the same: whatever must not start before the check depends on it
CONDITIONS = ("shots", "datasets")


@cache
def schema(method: str) -> type[Config]:
    """What a method is to be told: the keyword arguments of its constructor and, if it is tuned, an optimiser."""
    made = methods.find(method)
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in methods.arguments(made).items()}
    if made.trainable:
        fields.setdefault("optimiser", (OptimizerConfig, ...))
    return create_model(method, __base__=Config, **fields)


def check_towers(names: Iterable[str], backbone: str) -> None:
    """Refuse methods that put something into an image tower that is no plain ViT; raises UserError."""
    lost = [name for name in names if not supports(name, backbone)]
    if lost:
        raise UserError(
            f"params.yaml: methods: {', '.join(lost)}: these put prompts or adapters into the image tower, and that of "
            f"{backbone} {model_configs.image_tower_mismatch(backbone)}; take them out, or give a ViT such as "
            "ViT-B-16-quickgelu in backbone.name"
        )


def supports(method: str, backbone: str) -> bool:
    """Whether the backbone has the layers that a method puts something into."""
    return not (methods.find(method).modifies_image_tower and model_configs.image_tower_mismatch(backbone))


def resolve(
    method: str, dataset: str, shots: int, backbone: str, knobs: Mapping[str, Any], sections: Mapping[str, Config]
) -> Config:
    """The settings of a method: its knobs, with the cases that hold here, and sections of the params.

    What `knobs.<method>` does not say is taken from the section of that name (context, prune, distill, optimiser).
    Raises: UserError with one line for each wrong or contradicting knob.
    """
    known = schema(method)
    given = {name: section.model_dump() for name, section in sections.items() if name in known.model_fields}
    entries = dict(knobs.get(method, {}))
    cases = check_cases(method, entries.pop("cases", []))
    given = merge(given, entries)
    for case in cases:  # those that do not hold here are checked as well
        validate(method, backbone, known, merge(given, changes(case)))
        if shots in case.get("shots", [shots]) and dataset in case.get("datasets", [dataset]):
            given = merge(given, changes(case))
    return validate(method, backbone, known, given)


def validate(method: str, backbone: str, known: type[Config], given: Mapping[str, Any]) -> Config:
    """Settings of the right types and ranges that do not contradict each other."""
    where = f"params.yaml: knobs.{method}"
    try:
        settings = known.model_validate(given, context={"layers": model_configs.layers(backbone)})
    except ValidationError as error:
        raise UserError("\n".join(f"{where}.{explain(problem, known)}" for problem in error.errors())) from None
    try:
        methods.find(method).validate_config(settings)
    except ValueError as error:
        raise UserError(f"{where}.{error}") from None
    return settings


def config_warning(method: str, backbone: str, settings: Config) -> str | None:
    """What the user should know of settings that are allowed."""
    return methods.find(method).config_warning(settings, model_configs.layers(backbone))


def check_cases(method: str, cases: Any) -> list[dict[str, Any]]:
    """The cases of a method's knobs: lists of shots or datasets, and what they change."""
    for number, case in enumerate(cases if isinstance(cases, list) else [cases]):
        fits = isinstance(case, dict) and any(name in case for name in CONDITIONS)
        if not fits or not all(isinstance(case.get(name, []), list) for name in CONDITIONS) or not changes(case):
            raise UserError(
                f"params.yaml: knobs.{method}.cases[{number}]: expected a list of shots or of datasets and the knobs "
                f"that it changes, got {case!r}"
            )
    return cases


def changes(case: Mapping[str, Any]) -> dict[str, Any]:
    """What a case changes."""
    return {name: value for name, value in case.items() if name not in CONDITIONS}


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`old` with the entries of `new`, section by section; a section that has a `name` is whole."""
    inner = {
        name: merge(old[name], value)
        for name, value in new.items()
        if isinstance(value, Mapping) and isinstance(old.get(name), Mapping) and "name" not in value
    }
    return {**old, **new, **inner}


def file(dataset: str, method: str) -> Path:
    """Where the settings of a method on a dataset are."""
    return ROOT / dataset / f"{method}.json"


def read(dataset: str, method: str) -> Config:
    """The settings as `configure` wrote them."""
    return restore(method, files.read_json(file(dataset, method), "dvc repro configure"))


def restore(method: str, content: Any) -> Config:
    """Settings from what `model_dump` made of them.

    Raises: UserError when this version of the method does not know them.
    """
    try:
        return schema(method).model_validate(content)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all'}: {e['msg']}" for e in error.errors())
        raise UserError(f"settings of another version of {method} ({reasons}); run `dvc repro`") from None
