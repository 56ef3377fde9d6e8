"""The types of all settings, frozen and strict: what a section of params.yaml or an argument of a method may say.

There are no defaults in code: each value stands in conf/ with its source in a comment.
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
    """A section of params.yaml: read-only, no conversions, no unknown keys, no infinite numbers."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def one_of(kind: str, known: Any) -> AfterValidator:
    """A validator for names that are looked up: `known()` lists them."""

    def check(name: str) -> str:
        if name not in known():
            raise ValueError(f"unknown {kind} {name!r}; {nearest(name, known())}")
        return name

    return AfterValidator(check)


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


Depth = Annotated[PositiveInt, within("text", "image")]
ImageDepth = Annotated[PositiveInt, within("image")]


def readable(name: str) -> str:
    """Refuse a backbone whose text tower the encoders cannot run."""
    if why := model_configs.unsupported_reason(name):
        raise ValueError(f"{name} cannot be used: {why}; give a CLIP such as ViT-B-16-quickgelu")
    return name


class BackboneConfig(Config):
    """A CLIP: a name of open_clip's (ViT-B/16 is ViT-B-16) or of this package's; its weights, a tag or a file."""

    name: Annotated[
        str,
        AfterValidator(model_configs.canonical_name),
        one_of("backbone", model_configs.list_models),
        AfterValidator(readable),
    ]
    pretrained: str


class AugmentConfig(Config):
    """Random resized crops of training images: the range of the area, and whether to flip."""

    crop_scale: Pair[Annotated[float, Field(gt=0, le=1)]]
    horizontal_flip: bool

    @model_validator(mode="after")
    def ordered(self) -> "AugmentConfig":
        """Refuse a range from the larger to the smaller."""
        if self.crop_scale[0] > self.crop_scale[1]:
            raise ValueError(f"crop_scale goes from the smaller to the larger, got {self.crop_scale}")
        return self


class TeacherConfig(Config):
    """The frozen model's features: cached views per training image, and the templates of its class embeddings."""

    views: PositiveInt
    templates: Literal["openai", "simple"] | Templates


class PromptsConfig(Config):
    """Start length per layer and branch, and the tokens' first values: the first text layer's from words, or random."""

    initial_length: NonNegativeInt
    ctx_init: Words | None
    init_std: PositiveFloat


class PruneConfig(Config):
    """Saliency criterion and the images it sees, epochs before pruning, steps between prunings, tokens each, budget."""

    criterion: Criterion
    data: Literal["train", "val"]
    warmup: NonNegativeInt
    every: PositiveInt
    count: PositiveInt
    target: NonNegativeInt

    def check_budget(self, prompts: PromptsConfig, layers: Mapping[str, int]) -> None:
        """Refuse a budget above the tokens at the start, over so many layers by branch; raises ValueError."""
        start = prompts.initial_length * sum(layers.values())
        if all(layers.values()) and self.target > start:  # else nothing can be pruned, which is refused elsewhere
            raise ValueError(
                f"prune.target: {self.target} tokens are more than the start, {start} = prompts.initial_length "
                f"{prompts.initial_length} × {sum(layers.values())} layers of the backbone; lower prune.target or "
                "raise prompts.initial_length"
            )


class DistillConfig(Config):
    """How student and teacher are compared, and the weights of the text and the image term."""

    kind: Distance
    text: NonNegativeFloat
    image: NonNegativeFloat


class SGDConfig(Config):
    """SGD, with a rate an epoch: a cosine after constant warm-up epochs. It runs for `epochs`.

    The last batch of an epoch is dropped unless it is full or the only one, as in Dassl.
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
    """AdamW, with a rate a step: a cosine from `lr` to `final_lr`. It runs for `epochs` or `n_iters_per_shot`.

    The last batch of an epoch is kept however small it is, as by CLIP-LoRA's and Tip-Adapter's loaders.
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
        """Refuse two lengths, or none."""
        if (self.epochs is None) == (self.n_iters_per_shot is None):
            got = f"epochs {self.epochs} and n_iters_per_shot {self.n_iters_per_shot}"
            raise ValueError(f"give one of epochs and n_iters_per_shot and set the other to null, got {got}")
        return self


OptimizerConfig = Annotated[SGDConfig | AdamWConfig, Field(discriminator="name")]


class FitConfig(Config):
    """The sections of the params that a fit is made from, whoever runs it: a stage or the library."""

    augment: AugmentConfig
    teacher: TeacherConfig
    prompts: PromptsConfig
    prune: PruneConfig
    distill: DistillConfig
    optimizer: OptimizerConfig
    method: dict[str, dict[str, Any]]  # checked by adapt/settings/resolution.py, which knows the methods


class EvaluateConfig(Config):
    """Which split is scored (settings are chosen on val, results are on test), and images per batch."""

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
    """How many drawings of each kind a pre-training batch shows."""

    icon: NonNegativeInt
    digit: NonNegativeInt
    letter: NonNegativeInt


class PretrainConfig(Config):
    """Icons of `families` and characters; AdamW at `lr` between a linear warm-up and a linear decay, in steps."""

    families: Annotated[list[IconFamily], Field(min_length=1)]
    batch: PretrainBatchConfig
    steps: PositiveInt
    lr: PositiveFloat
    warmup: PositiveInt
    decay: PositiveInt
    weight_decay: NonNegativeFloat
    clip: PositiveFloat
    seed: NonNegativeInt
