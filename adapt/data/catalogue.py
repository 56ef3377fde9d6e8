"""All datasets by name."""

from adapt.data import pocket
from adapt.data.dataset import Dataset
from adapt.errors import UserError

# the eleven of the paper: known by name, so that the paper preset can be composed and looked at; no reader yet
PAPER = (
    "imagenet",
    "caltech101",
    "oxford_pets",
    "stanford_cars",
    "oxford_flowers",
    "food101",
    "fgvc_aircraft",
    "sun397",
    "dtd",
    "eurosat",
    "ucf101",
)


def names() -> list[str]:
    """The datasets that can be asked for."""
    return sorted((*pocket.NAMES, *PAPER))


def load(name: str) -> Dataset:
    """A dataset by name.

    Raises: UserError for a dataset of the paper preset, which has no reader yet.
    """
    if name in PAPER:
        raise UserError(
            f"params.yaml: datasets: {name} has no reader yet; until it has, choose from {', '.join(pocket.NAMES)}"
        )
    return pocket.load(name)
