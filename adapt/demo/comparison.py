"""A fitted method beside zero-shot CLIP on one picture."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from adapt.api import pictures
from adapt.api.model import Model
from adapt.data.dataset import open_image
from adapt.errors import UserError
from adapt.training import numerics

TOP = 5  # classes that are shown
ZERO_SHOT = {
    "method": "zero_shot",
    "config": {"text": "template"},
}  # in the dataset's own template, as in the pipeline

Ranking = dict[str, float]  # classes with their probabilities, the most likely first


class Answer(NamedTuple):
    """The predictions of both models for a picture."""

    tuned: Ranking | None
    zero_shot: Ranking | None


@dataclass(frozen=True)
class Comparison:
    """A fitted method and the frozen CLIP that it was fitted to."""

    tuned: Model

    @cached_property
    def zero_shot(self) -> Model:
        """The frozen CLIP, with the same classes in the same template."""
        result = self.tuned.result._replace(tensors={}, lengths=[], budget=None)
        return replace(self.tuned, result=result, made_from={**self.tuned.made_from, **ZERO_SHOT})

    def classify(self, path: Path, name: str) -> Answer:
        """Return the most likely classes of the picture in a file.

        Args:
            path: of the file.
            name: of the picture in messages.

        Raises:
            UserError: for a file that is no picture, a broken one or one with too many pixels.
        """
        clip = self.tuned.clip
        pixels = read(path, name, clip.image_size)[None]
        with numerics.fixed(clip):
            return Answer(*(rank(model, pixels) for model in (self.tuned, self.zero_shot)))


def rank(model: Model, pixels: NDArray[np.uint8]) -> Ranking:
    """Return the most likely classes of one picture.

    Of two classes with the same name, only the more likely one is listed.
    """
    (found,) = model.logits_of(pixels, 1).softmax(dim=1)
    ranked: Ranking = {}
    for label in found.argsort(descending=True).tolist():
        ranked.setdefault(model.classes[label], float(found[label]))
        if len(ranked) == TOP:
            break
    return ranked


def read(path: Path, name: str, size: int) -> NDArray[np.uint8]:
    """Return the crop [3, size, size] of a picture.

    A picture with too many pixels is refused before it takes memory.
    """
    try:
        with open_image(path):
            pass
    except PIL.Image.DecompressionBombError:
        most = 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise UserError(f"{name} has more than {most} million pixels; make it smaller, then drop it again") from None
    except Exception:  # Pillow raises more than OSError on a broken file
        raise UserError(f"{name} is no picture that can be read; drop a JPEG, PNG, WebP, GIF, BMP or TIFF") from None
    try:
        return pictures.read(path, name, size)
    except UserError as error:
        raise UserError(str(error).replace("replace it or leave it out", "drop another")) from None
