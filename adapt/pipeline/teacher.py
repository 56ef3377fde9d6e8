"""The frozen model's features on disk: data/teacher/<dataset>/, shared by all methods."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES
from torch import Tensor
from torch.nn import functional as F

from adapt.clip import class_names
from adapt.clip.backbone import Backbone
from adapt.clip.encoders import split_prefix
from adapt.clip.oom import AdaptiveBatch, retry_with_smaller_text_batch
from adapt.data import augment
from adapt.runtime import files
from adapt.runtime.checkpoint import Checkpoint, map_resumable

ROOT = Path("data/teacher")
NAMED_TEMPLATES = {"openai": OPENAI_IMAGENET_TEMPLATES, "simple": SIMPLE_IMAGENET_TEMPLATES}
CHUNK = 256  # images encoded at a time


@torch.no_grad()
def embed_templates(backbone: Backbone, classes: list[str], templates: str | list[str]) -> Float[Tensor, "m c f"]:
    """Embeddings of the classes in each of m templates, not normalised.

    Raises: UserError for a class whose text is longer than the model reads.
    """
    made = NAMED_TEMPLATES[templates] if isinstance(templates, str) else [text.format for text in templates]
    prompts = [class_names.tokenize(backbone, classes, template) for template in made]

    def encode(backbone: Backbone) -> Tensor:
        return torch.stack([backbone.encode_text(split_prefix(backbone.text, tokens)) for tokens in prompts])

    return retry_with_smaller_text_batch(encode, backbone, len(classes))


def embed_classes(backbone: Backbone, classes: list[str], templates: str | list[str]) -> Float[Tensor, "c f"]:
    """Class embeddings over a template ensemble, as the teacher's are."""
    return ensemble(embed_templates(backbone, classes, templates))


def ensemble(features: Float[Tensor, "m c f"]) -> Float[Tensor, "c f"]:
    """The teacher's class embeddings: the mean of the features over m templates, then normalised (PromptSRC's)."""
    return F.normalize(torch.mean(features, dim=0), dim=-1)


def zero_shot(features: Float[Tensor, "m c f"]) -> Float[Tensor, "c f"]:
    """Zero-shot CLIP's class embeddings from m templates: each normalised, then their mean (CLIP's and CoOp's)."""
    return ensemble(F.normalize(features, dim=-1))


def embed_images(backbone: Backbone, pixels: Sequence[UInt8[Tensor, "3 y x"]]) -> Float[Tensor, "n f"]:
    """Features of images, not normalised, some at a time."""
    return embed(backbone, lambda part: torch.stack(list(pixels[part])), range(len(pixels)), AdaptiveBatch(CHUNK))


@torch.no_grad()
def embed(
    backbone: Backbone, make: Callable[[slice], UInt8[Tensor, "b 3 y x"]], wanted: range, fitting: AdaptiveBatch
) -> Float[Tensor, "n f"]:
    """Features of the images that are numbered `wanted`, of which `make` gives a slice at a time."""
    parts = fitting.each(lambda part: backbone.encode_image(backbone.normalise(make(part))).cpu(), wanted)
    return torch.cat(parts)


def embed_views(
    backbone: Backbone,
    images: list[Tensor],
    seed: int,
    *,
    first: int,
    count: int,
    scale: list[float],
    flip: bool,
    store: Checkpoint | None = None,
) -> Float[Tensor, "n v f"]:
    """Features of `count` views of every image: the very crops that training will see.

    first: number of the first image, see Batches; store: where those that are done are kept meanwhile.
    """
    keys = [(seed, first + number, view) for number in range(len(images)) for view in range(count)]

    fitting = AdaptiveBatch(CHUNK)

    def make(part: slice) -> Tensor:
        chosen = [images[number - first] for _, number, _ in keys[part]]
        return augment.augmented_batch(
            chosen, keys[part], backbone.device, size=backbone.image_size, scale=scale, flip=flip
        )

    def part(number: int) -> Tensor:
        return embed(backbone, make, range(len(keys))[number * CHUNK : (number + 1) * CHUNK], fitting)

    return torch.cat(map_resumable(store, math.ceil(len(keys) / CHUNK), part)).unflatten(0, (len(images), count))


def file(dataset: str, seed: int | None) -> Path:
    """Where the features of a seed's images are; those of the classes for no seed."""
    return ROOT / dataset / ("classes.safetensors" if seed is None else f"seed_{seed}.safetensors")


def read(dataset: str, seed: int | None, backbone: Backbone) -> dict[str, Tensor]:
    """Cached features by name; refused when another backbone or other weights made them.

    Of the classes, normalised: `features` and `zero_shot` [c, f], by the functions `ensemble` and `zero_shot`. Of a
    seed, for `train` and `val`, not normalised: `train.views` [n, v, f] and `train.frozen` [n, f], of the images as
    evaluation sees them.
    """
    expected = {"backbone": backbone.name, "weights": backbone.weights}
    return files.read_tensors(file(dataset, seed), f"dvc repro -f teacher@{dataset}", **expected)
