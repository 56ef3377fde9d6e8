"""params.yaml as one frozen model, what is said of a wrong value, and how params.yaml is composed from conf/."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

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
    AdamWConfig,
    AugmentConfig,
    BackboneConfig,
    Config,
    DistillConfig,
    EvaluateConfig,
    OptimizerConfig,
    PretrainConfig,
    PromptsConfig,
    PruneConfig,
    RuntimeConfig,
    SGDConfig,
    TeacherConfig,
    one_of,
)
from adapt.data import catalog
from adapt.errors import UserError, nearest
from adapt.pipeline import paths
from adapt.runtime import yaml

MethodName = Annotated[str, one_of("method", methods.names)]


def distinct(values: list[Any]) -> list[Any]:
    """Refuse repeated entries."""
    if len(set(values)) < len(values):
        raise ValueError(f"each entry may stand once, got {values}")
    return values


class DataConfig(Config):
    """Where datasets lie: a folder, or null for $ADAPT_DATA or ./datasets."""

    root: str | None

    @property
    def folder(self) -> Path:
        """The folder that this means."""
        return paths.datasets(self.root)

    def unknown(self, name: str) -> str | None:
        """Why a name is no dataset's; None where it is one's."""
        if name in catalog.names(self.folder):
            return None
        why = catalog.unknown(name, self.folder)
        if self.root is not None and not self.folder.is_dir():
            known, _, hint = why.partition("; ")
            return f"{known}, and {self.folder} is no folder; {hint}"
        return why


def known_dataset(name: str, info: ValidationInfo) -> str:
    """Refuse a dataset that neither the catalogue nor the folder of datasets has."""
    data: DataConfig | None = info.data.get("data")  # checked before: the order of the fields
    if data and (why := data.unknown(name)):
        raise ValueError(why)
    return name


Preset = Literal["paper", "pocket"]
PRESETS = get_args(Preset)


class Params(Config):
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
    augment: AugmentConfig
    teacher: TeacherConfig
    prompts: PromptsConfig
    prune: PruneConfig
    distill: DistillConfig
    optimizer: OptimizerConfig
    method: dict[MethodName, dict[str, Any]]  # checked by adapt/pipeline/method_configs.py, which knows the methods
    evaluate: EvaluateConfig
    runtime: RuntimeConfig
    pretrain: PretrainConfig

    @model_validator(mode="after")
    def budget_fits(self) -> "Params":
        """Refuse a budget above the tokens at the start."""
        layers = model_configs.layers(self.backbone.name)
        start = self.prompts.initial_length * sum(layers.values())
        prunable = all(layers.values())  # else no method prunes: adapt/pipeline/method_configs.py
        if prunable and self.prune.target > start:
            raise ValueError(
                f"prune.target: {self.prune.target} tokens are more than the start, {start} = prompts.initial_length "
                f"{self.prompts.initial_length} × {sum(layers.values())} layers of {self.backbone.name}; lower "
                "prune.target or raise prompts.initial_length"
            )
        return self


def load(path: Path) -> Params:
    """Read and check a params file.

    Raises: UserError with one line for each wrong value: file, key, what was expected and what was got.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; write it with `make params`") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def parse(text: str, path: Path) -> Params:
    """Check the text of a params file, which messages call `path`; raises UserError as `load`."""
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
        raise UserError("\n".join(f"{path}: {explain(problem)}" for problem in error.errors())) from None


def without_entry(values: dict[Any, Any]) -> list[str]:
    """The methods to run that `method` has no entry for, as after `-S method=coop`; what else is wrong is not told."""
    chosen, entries = values.get("methods"), values.get("method")
    if not isinstance(chosen, list) or not isinstance(entries, dict):
        return []
    known = methods.names()
    sound = all(name in known and isinstance(entry, dict) for name, entry in entries.items())
    return [name for name in chosen if name in known and name not in entries] if sound else []


TAGS = {"sgd": SGDConfig, "adamw": AdamWConfig}


def explain(problem: Any, model: Any = None) -> str:
    """One of pydantic's findings on `model` (or Params) as `key: what was expected, what was got`."""
    *above, last = problem["loc"] or ("",)
    loc = [part for part in above if not (isinstance(part, str) and "[" in part)]  # drop union branches
    if problem["type"] == "extra_forbidden" or not (isinstance(last, str) and "[" in last):
        loc.append(last)
    names = [part for part in loc if part not in TAGS]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in names).lstrip(".")
    got = problem["input"]
    match problem["type"]:
        case "value_error":
            return f"{key}: {problem['ctx']['error']}" if key else str(problem["ctx"]["error"])
        case "extra_forbidden":
            return f"{key}: unknown key; {nearest(str(loc[-1]), known_keys(model or Params, loc))}"
        case "too_short":
            return f"{key}: expected {problem['ctx']['min_length']} or more, got {got!r}"
        case "too_long":
            return f"{key}: expected {problem['ctx']['max_length']}, got {got!r}"
        case "invalid_key":
            return f"{key}: a key is a word"
        case "missing":
            return f"{key}: missing"
        case "literal_error":
            hint = f"; {nearest(got, literals(problem))}" if isinstance(got, str) else ""
            return f"{key}: expected {problem['ctx']['expected']}, got {got!r}{hint}"
        case "union_tag_invalid":
            return f"{key}.name: expected {' or '.join(map(repr, TAGS))}, got {problem['ctx']['tag']!r}"
        case "union_tag_not_found":
            return f"{key}.name: missing"
        case _:
            expected = (
                problem["msg"]
                .removeprefix("Input should be ")
                .removeprefix("a valid ")
                .partition(" or instance of ")[0]
            )
            return f"{key}: expected {expected}, got {got!r}"


def known_keys(model: Any, loc: list[Any]) -> list[str]:
    """The keys that stand beside the last of a path."""
    for part in loc[:-1]:
        model = TAGS[part] if part in TAGS else model.model_fields[part].annotation
    return list(model.model_fields)


def literals(problem: Any) -> list[str]:
    """The values that pydantic lists as expected."""
    return problem["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")


def compose(overrides: list[str], folder: Path = Path("conf")) -> str:
    """The text of params.yaml that `dvc exp run -S override …` would write from conf/ (Hydra composition)."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    try:
        with initialize_config_dir(str(folder.resolve()), version_base=None):
            config = hydra_compose("config", overrides=overrides)
    except HydraException as error:
        raise UserError(f"conf/: {' '.join(str(error).split())}") from None
    OmegaConf.resolve(config)
    return OmegaConf.to_yaml(config)
