"""The teacher's features of classes and of training views, for all methods."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES
from PIL.Image import Image, fromarray
from torch import Tensor
from torch.nn import functional as F

from adapt.clip.backbone import Backbone
from adapt.clip.encoders import split_prefix
from adapt.clip.oom import AdaptiveBatch, retry_with_smaller_text_batch
from adapt.clip.tokenize import tokenize
from adapt.config import AugmentConfig, TeacherConfig
from adapt.data.augment import augmented_batch, to_tensor
from adapt.data.dataset import center_crop
from adapt.runtime import ahead, devices
from adapt.runtime.checkpoint import Checkpoint, map_resumable

NAMED_TEMPLATES = {"openai": OPENAI_IMAGENET_TEMPLATES, "simple": SIMPLE_IMAGENET_TEMPLATES}
CHUNK = 256  # images encoded at a time


@torch.no_grad()
def embed_templates(backbone: Backbone, classes: list[str], templates: str | list[str]) -> Float[Tensor, "m c f"]:
    """Embed the classes in each of m templates, not normalised.

    Raises: UserError for a class whose text is longer than the model's context.
    """
    made = NAMED_TEMPLATES[templates] if isinstance(templates, str) else [text.format for text in templates]
    prompts = [tokenize(backbone, classes, template) for template in made]

    def encode(backbone: Backbone) -> Tensor:
        return torch.stack([backbone.encode_text(split_prefix(backbone.text, tokens)) for tokens in prompts])

    return retry_with_smaller_text_batch(encode, backbone, len(classes))


def embed_classes(backbone: Backbone, classes: list[str], templates: str | list[str]) -> Float[Tensor, "c f"]:
    """Return class embeddings over a template ensemble, as for the teacher."""
    return ensemble(embed_templates(backbone, classes, templates))


def of_classes(backbone: Backbone, classes: list[str], templates: str | list[str]) -> dict[str, Float[Tensor, "c f"]]:
    """Return both class embeddings of a `FewShotTask`.

    `features` is computed by `ensemble`, `zero_shot` by `zero_shot`.
    """
    features = embed_templates(backbone, classes, templates)
    return {"features": ensemble(features), "zero_shot": zero_shot(features)}


def of_images(
    backbone: Backbone,
    images: Mapping[str, Sequence[Image | NDArray[np.uint8]]],
    seed: int,
    teacher: TeacherConfig,
    augment: AugmentConfig,
    stores: Mapping[str, Checkpoint] | None = None,
    progress: Callable[[range], Iterable[int]] = iter,
) -> dict[str, Tensor]:
    """Compute the features of few-shot images by split, not normalised.

    They are all the features that `make_loaders` needs. Each split has two entries: `train.views` [n, v, f], the views
    that training will see, and `train.frozen` [n, f], the images as evaluation sees them. The images are numbered
    through the splits in their order, so `train` is first.
    images: RGB images, or pixels [y, x, 3]. Pixels are not copied, so they may be memory-mapped.
    stores: for each split, keeps finished features during the computation; progress: wraps the loop over batches of
        views.
    """
    found, offset = {}, 0
    for split, pictures in images.items():
        pixels = [to_tensor(picture) for picture in pictures]
        found[f"{split}.views"] = embed_views(
            backbone, pixels, seed, index_offset=offset, views=teacher.views, augment=augment,
            store=stores[split] if stores else None, progress=progress,
        )  # fmt: skip
        found[f"{split}.frozen"] = embed_images(backbone, pictures)
        offset += len(pixels)
    return found


def ensemble(features: Float[Tensor, "m c f"]) -> Float[Tensor, "c f"]:
    """Return the teacher's class embeddings: the mean over m templates, normalised.

    This is PromptSRC's convention.
    """
    return F.normalize(torch.mean(features, dim=0), dim=-1)


def zero_shot(features: Float[Tensor, "m c f"]) -> Float[Tensor, "c f"]:
    """Return zero-shot CLIP's class embeddings from m templates.

    The embeddings of each template are normalised, then averaged and normalised (CLIP's and CoOp's convention).
    """
    return ensemble(F.normalize(features, dim=-1))


def embed_images(backbone: Backbone, images: Sequence[Image | NDArray[np.uint8]]) -> Float[Tensor, "n f"]:
    """Compute features of images as evaluation sees them, not normalised.

    The images are cropped a batch at a time.
    """

    def crop(part: slice) -> Tensor:
        crops = [center_crop(as_image(image), backbone.image_size) for image in images[part]]
        return torch.from_numpy(np.stack(crops))

    return embed(backbone, crop, range(len(images)), AdaptiveBatch(CHUNK))


def as_image(image: Image | NDArray[np.uint8]) -> Image:
    """Return an RGB image, made from pixels [y, x, 3] if these are given."""
    return fromarray(image) if isinstance(image, np.ndarray) else image


@torch.no_grad()
def embed(
    backbone: Backbone, make: Callable[[slice], UInt8[Tensor, "b 3 y x"]], wanted: range, fitting: AdaptiveBatch
) -> Float[Tensor, "n f"]:
    """Compute the features of the images with numbers `wanted`.

    make: returns a slice of the images.
    """
    parts = fitting.each(lambda part: backbone.encode_image(backbone.normalise(make(part))).cpu(), wanted)
    return torch.cat(parts)


def embed_views(
    backbone: Backbone,
    images: list[Tensor],
    seed: int,
    *,
    index_offset: int,
    views: int,
    augment: AugmentConfig,
    store: Checkpoint | None = None,
    progress: Callable[[range], Iterable[int]] = iter,
) -> Float[Tensor, "n v f"]:
    """Compute features of `views` views per image, the same crops as in training.

    index_offset: number of the first image, see FewShotLoader; store: keeps finished features during the computation.
    """
    keys = [(seed, index_offset + number, view) for number in range(len(images)) for view in range(views)]
    fitting, on_gpu = AdaptiveBatch(CHUNK), backbone.device.type == "cuda"
    settings = {"size": backbone.image_size, "threads": ahead.THREADS if on_gpu else 1, **augment.model_dump()}

    def cut(part: slice) -> Tensor:
        chosen = [images[number - index_offset] for _, number, _ in keys[part]]
        return devices.pin(augmented_batch(chosen, keys[part], **settings), backbone.device)

    make = ahead.Reader(cut, len(keys)) if on_gpu else cut

    def part(number: int) -> Tensor:
        return embed(backbone, make, range(len(keys))[number * CHUNK : (number + 1) * CHUNK], fitting)

    parts = map_resumable(store, math.ceil(len(keys) / CHUNK), part, progress=progress)
    return torch.cat(parts).unflatten(0, (len(images), views))
