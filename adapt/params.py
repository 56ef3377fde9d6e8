"""Typed parameters: params.yaml as frozen models, and how params.yaml is composed from conf/.

There are no defaults in code: each knob stands in conf/ with its source in a comment.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from adapt import architecture, methods
from adapt.data import catalogue
from adapt.errors import UserError, nearest

Criterion = Literal["snip", "gate", "gradient", "magnitude", "random"]
Distance = Literal["angular", "l1", "kl", "pairwise", "none"]


class Section(BaseModel):
    """A section of params.yaml: read-only, no conversions, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


def one_of(kind: str, known: Any) -> AfterValidator:
    """A validator for names that are looked up: `known()` lists them."""

    def check(name: str) -> str:
        if name not in known():
            raise ValueError(f"unknown {kind} {name!r}; {nearest(name, known())}")
        return name

    return AfterValidator(check)


def distinct(values: list[Any]) -> list[Any]:
    """Refuse repeated entries."""
    if len(set(values)) < len(values):
        raise ValueError(f"each entry may stand once, got {values}")
    return values


def with_name(template: str) -> str:
    """Refuse a template that has no single place for the class name."""
    if template.count("{}") != 1:
        raise ValueError(f"a template has one {{}} for the class name, got {template!r}")
    return template


Template = Annotated[str, AfterValidator(with_name)]


class Backbone(Section):
    """A CLIP: an open_clip model name (or models/NAME.json) and its weights, an open_clip tag or a file."""

    name: Annotated[str, one_of("backbone", architecture.names)]
    pretrained: str


class Views(Section):
    """Random resized crops of training images: the range of the area, and whether to flip."""

    scale: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=2, max_length=2)]
    flip: bool

    @model_validator(mode="after")
    def ordered(self) -> "Views":
        """Refuse a range from the larger to the smaller."""
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale goes from the smaller to the larger, got {self.scale}")
        return self


class Teacher(Section):
    """The frozen model's features: cached views per training image, and the templates of its class embeddings."""

    views: Annotated[int, Field(ge=1)]
    templates: Literal["openai", "simple"] | Annotated[list[Template], Field(min_length=1)]


class Context(Section):
    """Start length per layer and branch, and the standard deviation of the tokens' first values."""

    length: Annotated[int, Field(ge=0)]
    std: Annotated[float, Field(gt=0)]


class Prune(Section):
    """Saliency criterion, epochs before the first pruning, steps between prunings, tokens per pruning, budget."""

    criterion: Criterion
    warmup: Annotated[int, Field(ge=0)]
    every: Annotated[int, Field(ge=1)]
    count: Annotated[int, Field(ge=1)]
    target: Annotated[int, Field(ge=0)]


class Distill(Section):
    """How student and teacher are compared, and the weights of the text and the image term."""

    kind: Distance
    text: Annotated[float, Field(ge=0)]
    image: Annotated[float, Field(ge=0)]


class Optimiser(Section):
    """SGD with a cosine schedule after constant warm-up epochs."""

    lr: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    epochs: Annotated[int, Field(ge=1)]
    batch: Annotated[int, Field(ge=1)]
    warmup_epochs: Annotated[int, Field(ge=0)]
    warmup_lr: Annotated[float, Field(gt=0)]


class Evaluate(Section):
    """Which split is scored (settings are chosen on val, results are on test), and images per batch."""

    split: Literal["val", "test"]
    batch: Annotated[int, Field(ge=1)]


class Runtime(Section):
    """Where and how it runs; no result depends on it (on one kind of machine)."""

    device: Literal["auto", "cpu", "cuda"]
    processes: Annotated[int, Field(ge=1)]


class PretrainBatch(Section):
    """How many drawings of each kind a pre-training batch shows."""

    icon: Annotated[int, Field(ge=0)]
    digit: Annotated[int, Field(ge=0)]
    letter: Annotated[int, Field(ge=0)]


class Pretrain(Section):
    """AdamW at `lr` between a linear warm-up and a linear decay, in steps."""

    batch: PretrainBatch
    steps: Annotated[int, Field(ge=1)]
    lr: Annotated[float, Field(gt=0)]
    warmup: Annotated[int, Field(ge=1)]
    decay: Annotated[int, Field(ge=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    clip: Annotated[float, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)]


class Params(Section):
    """The whole of params.yaml."""

    preset: Literal["pocket", "paper"]
    shots: Annotated[int, Field(ge=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(distinct)]
    datasets: Annotated[
        list[Annotated[str, one_of("dataset", catalogue.names)]], Field(min_length=1), AfterValidator(distinct)
    ]
    methods: Annotated[
        list[Annotated[str, one_of("method", methods.names)]], Field(min_length=1), AfterValidator(distinct)
    ]
    backbone: Backbone
    views: Views
    teacher: Teacher
    context: Context
    prune: Prune
    distill: Distill
    optimiser: Optimiser
    evaluate: Evaluate
    runtime: Runtime
    pretrain: Pretrain

    @model_validator(mode="after")
    def budget_fits(self) -> "Params":
        """Refuse a budget above the tokens at the start."""
        layers = architecture.layers(self.backbone.name)
        start = self.context.length * sum(layers.values())
        if self.prune.target > start:
            raise ValueError(
                f"prune.target: {self.prune.target} tokens are more than the start, {start} = context.length "
                f"{self.context.length} × {sum(layers.values())} layers of {self.backbone.name}; lower prune.target "
                "or raise context.length"
            )
        return self


def load(path: Path) -> Params:
    """Read and check a params file.

    Raises: UserError with one line for each wrong value: file, key, what was expected and what was got.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        values = YAML(typ="safe").load(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is missing; write it with `make params`") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} has to be a mapping of sections; write it anew with `make params`")
    try:
        return Params(**values)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {explain(problem)}" for problem in error.errors())) from None


def explain(problem: Any) -> str:
    """One of pydantic's findings as `key: what was expected, what was got`."""
    loc = [part for part in problem["loc"] if not (isinstance(part, str) and "[" in part)]  # drop union branches
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    got = problem["input"]
    match problem["type"]:
        case "value_error":
            return f"{key}: {problem['ctx']['error']}" if key else str(problem["ctx"]["error"])
        case "extra_forbidden":
            model: Any = Params
            for part in loc[:-1]:
                model = model.model_fields[part].annotation
            return f"{key}: unknown key; {nearest(str(loc[-1]), model.model_fields)}"
        case "missing":
            return f"{key}: missing"
        case "literal_error":
            hint = f"; {nearest(got, literals(problem))}" if isinstance(got, str) else ""
            return f"{key}: expected {problem['ctx']['expected']}, got {got!r}{hint}"
        case _:
            expected = problem["msg"].removeprefix("Input should be ").removeprefix("a valid ")
            return f"{key}: expected {expected}, got {got!r}"


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
