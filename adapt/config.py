"""Typed parameters: params.yaml as frozen models, and how params.yaml is composed from conf/.

There are no defaults in code: each knob stands in conf/ with its source in a comment.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from adapt import methods
from adapt.clip import model_configs
from adapt.data import catalog
from adapt.data.specs import Template
from adapt.errors import UserError, nearest
from adapt.pipeline.paths import place

Count = Annotated[int, Field(ge=1)]
Std = Annotated[float, Field(ge=0)]
Weight = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Criterion = Literal["snip", "gate", "gradient", "magnitude", "random"]
Distance = Literal["angular", "l1", "kl", "pairwise", "none"]


class Section(BaseModel):
    """A section of params.yaml: read-only, no conversions, no unknown keys, no infinite numbers."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def one_of(kind: str, known: Any) -> AfterValidator:
    """A validator for names that are looked up: `known()` lists them."""

    def check(name: str) -> str:
        if name not in known():
            raise ValueError(f"unknown {kind} {name!r}; {nearest(name, known())}")
        return name

    return AfterValidator(check)


MethodName = Annotated[str, one_of("method", methods.names)]


def distinct(values: list[Any]) -> list[Any]:
    """Refuse repeated entries."""
    if len(set(values)) < len(values):
        raise ValueError(f"each entry may stand once, got {values}")
    return values


Templates = Annotated[list[Template], Field(min_length=1)]


def without_braces(words: str) -> str:
    """Refuse a template where words are meant, after which the class name comes anyway, and no words at all."""
    if not words.strip():
        raise ValueError("there are no words; null stands for none where that is possible")
    if "{" in words or "}" in words:
        raise ValueError(f"words stand before the class name and have no braces, got {words!r}")
    return words


Words = Annotated[str, AfterValidator(without_braces)]


def within(*branches: str) -> AfterValidator:
    """A validator for a number of layers: not more than these branches of the backbone have."""

    def check(depth: int, info: ValidationInfo) -> int:
        layers: dict[str, int] = (info.context or {}).get("layers", {})
        for branch in branches:
            if depth > layers.get(branch, depth):
                raise ValueError(f"the backbone has {layers[branch]} layers in its {branch} branch, got {depth}")
        return depth

    return AfterValidator(check)


Depth = Annotated[int, Field(ge=1), within("text", "image")]
ImageDepth = Annotated[int, Field(ge=1), within("image")]


def readable(name: str) -> str:
    """Refuse a backbone whose text tower the encoders cannot run."""
    if why := model_configs.obstacle(name):
        raise ValueError(f"{name} cannot be used: {why}; give a CLIP such as ViT-B-16-quickgelu")
    return name


class Backbone(Section):
    """A CLIP: an open_clip model name (ViT-B/16 is ViT-B-16) or models/NAME.json; its weights, a tag or a file."""

    name: Annotated[
        str, AfterValidator(model_configs.spelled), one_of("backbone", model_configs.names), AfterValidator(readable)
    ]
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

    views: Count
    templates: Literal["openai", "simple"] | Templates


class Context(Section):
    """Start length per layer and branch, and the standard deviation of the tokens' first values."""

    length: Annotated[int, Field(ge=0)]
    std: Positive


class Prune(Section):
    """Saliency criterion and the images it sees, epochs before pruning, steps between prunings, tokens each, budget."""

    criterion: Criterion
    data: Literal["train", "val"]
    warmup: Annotated[int, Field(ge=0)]
    every: Count
    count: Count
    target: Annotated[int, Field(ge=0)]


class Distill(Section):
    """How student and teacher are compared, and the weights of the text and the image term."""

    kind: Distance
    text: Weight
    image: Weight


class Sgd(Section):
    """SGD, with a rate an epoch: a cosine after constant warm-up epochs. It runs for `epochs`.

    The last batch of an epoch is dropped unless it is full or the only one, as in Dassl.
    """

    name: Literal["sgd"]
    lr: Positive
    momentum: Share
    weight_decay: Weight
    epochs: Count
    batch: Count
    warmup_epochs: Annotated[int, Field(ge=0)]
    warmup_lr: Positive
    steps_per_shot: ClassVar[None] = None
    drop_last: ClassVar[bool] = True


class AdamW(Section):
    """AdamW, with a rate a step: a cosine from `lr` to `final_lr`. It runs for `epochs` or `steps_per_shot`.

    The last batch of an epoch is kept however small it is, as by CLIP-LoRA's and Tip-Adapter's loaders.
    """

    name: Literal["adamw"]
    lr: Positive
    final_lr: Weight
    eps: Positive
    weight_decay: Weight
    epochs: Count | None
    steps_per_shot: Count | None
    batch: Count
    drop_last: ClassVar[bool] = False

    @model_validator(mode="after")
    def one_length(self) -> "AdamW":
        """Refuse two lengths, or none."""
        if (self.epochs is None) == (self.steps_per_shot is None):
            got = f"epochs {self.epochs} and steps_per_shot {self.steps_per_shot}"
            raise ValueError(f"give one of epochs and steps_per_shot and set the other to null, got {got}")
        return self


Optimiser = Annotated[Sgd | AdamW, Field(discriminator="name")]


class Evaluate(Section):
    """Which split is scored (settings are chosen on val, results are on test), and images per batch."""

    split: Literal["val", "test"]
    batch: Count


class Runtime(Section):
    """Where and how it runs; on one kind of machine no result depends on it, but that bfloat16 rounds."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]
    deterministic: bool
    classes_at_once: Count | None
    processes: Count
    checkpoint_seconds: Weight
    workers: Count


class PretrainBatch(Section):
    """How many drawings of each kind a pre-training batch shows."""

    icon: Annotated[int, Field(ge=0)]
    digit: Annotated[int, Field(ge=0)]
    letter: Annotated[int, Field(ge=0)]


class Pretrain(Section):
    """AdamW at `lr` between a linear warm-up and a linear decay, in steps."""

    batch: PretrainBatch
    steps: Count
    lr: Positive
    warmup: Count
    decay: Count
    weight_decay: Weight
    clip: Positive
    seed: Annotated[int, Field(ge=0)]


class Data(Section):
    """Where datasets lie: a folder, or null for $ADAPT_DATA or ./datasets."""

    root: str | None

    @property
    def home(self) -> Path | None:
        """The folder, as the catalogue takes it."""
        return place(self.root) if self.root else None


def known_dataset(name: str, info: ValidationInfo) -> str:
    """Refuse a dataset that neither the catalogue nor the folder of datasets has."""
    data: Data | None = info.data.get("data")  # checked before: the order of the fields
    home = data and data.home
    if name not in catalog.names(home):
        raise ValueError(catalog.unknown(name, home))
    return name


class Params(Section):
    """The whole of params.yaml."""

    preset: Literal["pocket", "paper"]
    shots: Count
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(distinct)]
    data: Data
    datasets: Annotated[
        list[Annotated[str, AfterValidator(known_dataset)]], Field(min_length=1), AfterValidator(distinct)
    ]
    methods: Annotated[list[MethodName], Field(min_length=1), AfterValidator(distinct)]
    backbone: Backbone
    views: Views
    teacher: Teacher
    context: Context
    prune: Prune
    distill: Distill
    optimiser: Optimiser
    knobs: dict[MethodName, dict[str, Any]]  # checked by adapt/pipeline/method_configs.py, which knows the methods
    evaluate: Evaluate
    runtime: Runtime
    pretrain: Pretrain

    @model_validator(mode="after")
    def budget_fits(self) -> "Params":
        """Refuse a budget above the tokens at the start."""
        layers = model_configs.layers(self.backbone.name)
        start = self.context.length * sum(layers.values())
        if (
            all(layers.values()) and self.prune.target > start
        ):  # else no method prunes: adapt/pipeline/method_configs.py
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
    try:
        return parse(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; write it with `make params`") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def parse(text: str, path: Path) -> Params:
    """Check the text of a params file, which messages call `path`; raises UserError as `load`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        values = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} has to be a mapping of sections; write it anew with `make params`")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {explain(problem)}" for problem in error.errors())) from None


TAGS = {"sgd": Sgd, "adamw": AdamW}


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
            expected = problem["msg"].removeprefix("Input should be ").removeprefix("a valid ")
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
