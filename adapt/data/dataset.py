"""What every dataset looks like to the rest of the library, whether it comes from a folder or from a package."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from adapt.errors import UserError


class Item(NamedTuple):
    """One labelled image: a name that `Dataset.read` understands, its label in 0..c-1, and the class's name."""

    path: str
    label: int
    name: str


@dataclass(frozen=True)
class Dataset:
    """A classification dataset with fixed splits.

    `classes[label]` is the class's name as it goes into `template`; `read(path)` gives the image of an item.
    """

    name: str
    template: str
    classes: tuple[str, ...]
    train: tuple[Item, ...]
    val: tuple[Item, ...]
    test: tuple[Item, ...]
    read: Callable[[str], Image.Image]

    def image(self, path: str) -> Image.Image:
        """The RGB image of an item.

        Raises: UserError that names the image, if it is missing or broken.
        """
        try:
            return self.read(path).convert("RGB")
        except (OSError, ValueError) as error:
            raise UserError(
                f"image {path} of dataset {self.name} cannot be read ({error}); replace it or take it out of the split"
            ) from None
