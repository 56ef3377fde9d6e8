"""The types of all settings: frozen, strict and without defaults.

They define the allowed values of the sections of params.yaml and of the arguments of methods. conf/ holds every value,
with its source in a comment.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    model_validator,
)

from adapt.clip import model_configs
from adapt.data.specs import Template
from adapt.errors import nearest

Preset = Literal["paper", "pocket"]
PRESETS = get_args(Preset)
Fraction = Annotated[float, Field(ge=0, lt=1)]
Item = TypeVar("Item")
Pair = Annotated[list[Item], Field(min_length=2, max_length=2)]
IconFamily = Literal[
    "material", "google", "fluent", "bootstrap", "lucide", "ionicons", "codicon", "eva", "typicons", "elusive"
]
Criterion = Literal["snip", "gate", "gradient", "magnitude", "random"]
Distance = Literal["angular", "l1", "kl", "pairwise", "none"]


class Config(BaseModel):
    """A section of params.yaml: read-only and strict.

    It allows no type conversions, no unknown keys and no infinite numbers.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def one_of(kind: str, known: Any) -> AfterValidator:
    """Return a validator that accepts only the names listed by `known()`."""

    def check(name: str) -> str:
        if name not in known():
            raise ValueError(f"unknown {kind} {name!r}; {nearest(name, known())}")
        return name

    return AfterValidator(check)


Templates = Annotated[list[Template], Field(min_length=1)]


def without_braces(words: str) -> str:
    """Refuse an empty text, and a template with braces.

    The class name always follows the words, so they need no {} for it.
    """
    if not words.strip():
        raise ValueError("the words are empty; set null for none, where that is allowed")
    if "{" in words or "}" in words:
        raise ValueError(f"the words before the class name have no braces, got {words!r}")
    return words


Words = Annotated[str, AfterValidator(without_braces)]


def within(*branches: str) -> AfterValidator:
    """Return a validator for a number of layers that these branches must have."""

    def check(depth: int, info: ValidationInfo) -> int:
        layers: dict[str, int] = (info.context or {}).get("layers", {})
        for branch in branches:
            if depth > layers.get(branch, depth):
                raise ValueError(f"the backbone has {layers[branch]} layers in its {branch} branch, got {depth}")
        return depth

    return AfterValidator(check)


Depth = Annotated[PositiveInt, within("text", "image")]
ImageDepth = Annotated[PositiveInt, within("image")]


def readable(name: str) -> str:
    """Refuse a backbone whose text tower the encoders cannot run."""
    if why := model_configs.unsupported_reason(name):
        raise ValueError(f"{name} cannot be used: {why}; give a CLIP such as ViT-B-16-quickgelu")
    return name


class BackboneConfig(Config):
    """A CLIP model: its name and its weights.

    The name is one of open_clip's (ViT-B/16 is ViT-B-16) or of this package's. The weights are a tag or a file.
    """

    name: Annotated[
        str,
        AfterValidator(model_configs.canonical_name),
        one_of("backbone", model_configs.list_models),
        AfterValidator(readable),
    ]
    pretrained: str


class AugmentConfig(Config):
    """Random resized crops of training images: area range and horizontal flips."""

    crop_scale: Pair[Annotated[float, Field(gt=0, le=1)]]
    horizontal_flip: bool

    @model_validator(mode="after")
    def ordered(self) -> "AugmentConfig":
        """Refuse a range whose first value is the larger one."""
        if self.crop_scale[0] > self.crop_scale[1]:
            raise ValueError(f"crop_scale: expected the smaller value first, got {self.crop_scale}")
        return self


class TeacherConfig(Config):
    """The frozen teacher: cached views per training image, and text templates.

    The teacher's class embeddings are made from the templates.
    """

    views: PositiveInt
    templates: Literal["openai", "simple"] | Templates


class PromptsConfig(Config):
    """Initial prompt length per layer and branch, and initial token values.

    The tokens of the first text layer start from words, if `ctx_init` gives any. All others start at random.
    """

    initial_length: NonNegativeInt
    ctx_init: Words | None
    init_std: PositiveFloat


class PruneConfig(Config):
    """The pruning schedule, its budget, and the saliency that selects tokens.

    criterion, data: the saliency criterion and the images that it is computed on.
    warmup, every, count: epochs before the first pruning, steps between prunings, tokens per pruning.
    target: the budget, tokens left in both branches.
    """

    criterion: Criterion
    data: Literal["train", "val"]
    warmup: NonNegativeInt
    every: PositiveInt
    count: PositiveInt
    target: NonNegativeInt

    def check_budget(self, prompts: PromptsConfig, layers: Mapping[str, int]) -> None:
        """Refuse a budget above the initial number of tokens.

        layers: number of layers by branch.
        Raises: ValueError.
        """
        start = prompts.initial_length * sum(layers.values())
        if all(layers.values()) and self.target > start:  # a branch without layers is refused elsewhere
            raise ValueError(
                f"prune.target: {self.target} tokens exceed the initial {start} = prompts.initial_length "
                f"{prompts.initial_length} × {sum(layers.values())} layers of the backbone; lower prune.target or "
                "raise prompts.initial_length"
            )


class DistillConfig(Config):
    """The distance between student and teacher, and its text and image weights."""

    kind: Distance
    text: NonNegativeFloat
    image: NonNegativeFloat


class SGDConfig(Config):
    """SGD with one learning rate per epoch: a constant warm-up, then a cosine.

    It trains for `epochs`. The last batch of an epoch is dropped unless it is full or the only one, as in Dassl.
    """

    name: Literal["sgd"]
    lr: PositiveFloat
    momentum: Fraction
    weight_decay: NonNegativeFloat
    epochs: PositiveInt
    batch_size: PositiveInt
    warmup_epochs: NonNegativeInt
    warmup_lr: PositiveFloat
    n_iters_per_shot: ClassVar[None] = None
    drop_last: ClassVar[bool] = True


class AdamWConfig(Config):
    """AdamW with one learning rate per step: a cosine from `lr` to `final_lr`.

    It trains for `epochs` or for `n_iters_per_shot`. The last batch of an epoch is kept however small it is, as in
    CLIP-LoRA's and Tip-Adapter's loaders.
    """

    name: Literal["adamw"]
    lr: PositiveFloat
    final_lr: NonNegativeFloat
    eps: PositiveFloat
    weight_decay: NonNegativeFloat
    epochs: PositiveInt | None
    n_iters_per_shot: PositiveInt | None
    batch_size: PositiveInt
    drop_last: ClassVar[bool] = False

    @model_validator(mode="after")
    def one_length(self) -> "AdamWConfig":
        """Refuse two training lengths, or none."""
        if (self.epochs is None) == (self.n_iters_per_shot is None):
            got = f"epochs {self.epochs} and n_iters_per_shot {self.n_iters_per_shot}"
            raise ValueError(f"give one of epochs and n_iters_per_shot and set the other to null, got {got}")
        return self


OptimizerConfig = Annotated[SGDConfig | AdamWConfig, Field(discriminator="name")]


class FitConfig(Config):
    """The sections of the params that a fit uses, in a stage or in the library."""

    augment: AugmentConfig
    teacher: TeacherConfig
    prompts: PromptsConfig
    prune: PruneConfig
    distill: DistillConfig
    optimizer: OptimizerConfig
    method: dict[str, dict[str, Any]]  # checked by adapt/settings/resolution.py, which knows the methods


class EvaluateConfig(Config):
    """The split to evaluate on, and images per batch.

    Settings are chosen on val; results are reported on test.
    """

    split: Literal["val", "test"]
    batch_size: PositiveInt


class RuntimeConfig(Config):
    """Execution settings (device, precision, parallelism).

    They do not change results on a given machine, except for rounding under bfloat16.
    """

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]
    deterministic: bool
    text_batch_size: PositiveInt | None
    parallel_seeds: PositiveInt
    checkpoint_seconds: NonNegativeFloat
    live: bool
    live_accuracy: bool
    num_workers: PositiveInt
    cuda_graphs: bool
    compile: bool
    per_gpu: PositiveInt


class PretrainBatchConfig(Config):
    """The number of drawings of each kind in a pre-training batch."""

    icon: NonNegativeInt
    digit: NonNegativeInt
    letter: NonNegativeInt


class PretrainConfig(Config):
    """Pre-training on icons of `families` and on characters.

    AdamW runs at `lr` between a linear warm-up and a linear decay. Both are counted in steps.
    """

    families: Annotated[list[IconFamily], Field(min_length=1)]
    batch: PretrainBatchConfig
    steps: PositiveInt
    lr: PositiveFloat
    warmup: PositiveInt
    decay: PositiveInt
    weight_decay: NonNegativeFloat
    clip: PositiveFloat
    seed: NonNegativeInt
