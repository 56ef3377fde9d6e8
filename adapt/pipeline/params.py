"""params.yaml as one frozen model."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from adapt import methods
from adapt.clip import model_configs
from adapt.config import (
    BackboneConfig,
    Config,
    EvaluateConfig,
    FitConfig,
    Preset,
    PretrainConfig,
    RuntimeConfig,
    one_of,
)
from adapt.data import catalog
from adapt.errors import UserError
from adapt.pipeline import paths
from adapt.runtime import yaml
from adapt.settings.validation import explain

MethodName = Annotated[str, one_of("method", methods.names)]


def distinct(values: list[Any]) -> list[Any]:
    """Refuse repeated entries."""
    if len(set(values)) < len(values):
        raise ValueError(f"each entry may occur once, got {values}")
    return values


class DataConfig(Config):
    """The folder of datasets; null is $ADAPT_DATA or ./datasets."""

    root: str | None

    @property
    def folder(self) -> Path:
        """The folder as a path."""
        return paths.datasets(self.root)

    def unknown(self, name: str) -> str | None:
        """Explain why a name is not a dataset's; return None if it is."""
        if name in catalog.names(self.folder):
            return None
        why = catalog.unknown(name, self.folder)
        if self.root is not None and not self.folder.is_dir():
            known, _, hint = why.partition("; ")
            return f"{known}, and there is no folder {self.folder}; {hint}"
        return why


def known_dataset(name: str, info: ValidationInfo) -> str:
    """Refuse a dataset that is neither in the catalogue nor in the folder of datasets."""
    data: DataConfig | None = info.data.get("data")  # checked before, by the order of the fields
    if data and (why := data.unknown(name)):
        raise ValueError(why)
    return name


class Params(FitConfig):
    """The whole of params.yaml."""

    preset: Preset
    shots: PositiveInt
    seeds: Annotated[list[NonNegativeInt], Field(min_length=1), AfterValidator(distinct)]
    data: DataConfig
    datasets: Annotated[
        list[Annotated[str, AfterValidator(known_dataset)]], Field(min_length=1), AfterValidator(distinct)
    ]
    methods: Annotated[list[MethodName], Field(min_length=1), AfterValidator(distinct)]
    backbone: BackboneConfig
    method: dict[MethodName, dict[str, Any]]
    evaluate: EvaluateConfig
    runtime: RuntimeConfig
    pretrain: PretrainConfig

    @model_validator(mode="after")
    def budget_fits(self) -> "Params":
        """Refuse a budget above the initial number of tokens."""
        self.prune.check_budget(self.prompts, model_configs.layers(self.backbone.name))
        return self


def load(path: Path) -> Params:
    """Read and check a params file.

    Raises: UserError with one line for each wrong value: file, key, the expected and the given value.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; write it with `make params`") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def parse(text: str, path: Path) -> Params:
    """Check the text of a params file, which messages call `path`.

    Raises: UserError, as `load`.
    """
    try:
        values = yaml.parse(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} has to be a mapping of sections; write it anew with `make params`")
    if lost := without_entry(values):
        raise UserError(
            f"{path}: method: no entry for {', '.join(lost)}; `method` holds the settings of every method: to choose "
            "which of them run, set methods=[…] and leave method as it is"
        )
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {explain(problem, Params)}" for problem in error.errors())) from None


def without_entry(values: dict[Any, Any]) -> list[str]:
    """Return the chosen methods that `method` has no entry for.

    This happens after `-S method=coop`. Return nothing if the sections have other errors.
    """
    chosen, entries = values.get("methods"), values.get("method")
    if not isinstance(chosen, list) or not isinstance(entries, dict):
        return []
    known = methods.names()
    sound = all(name in known and isinstance(entry, dict) for name, entry in entries.items())
    return [name for name in chosen if name in known and name not in entries] if sound else []
