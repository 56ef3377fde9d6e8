"""All datasets by name."""

from adapt.data import pocket
from adapt.data.dataset import Dataset


def names() -> list[str]:
    """The datasets that can be asked for."""
    return sorted(pocket.NAMES)


def load(name: str) -> Dataset:
    """A dataset by name."""
    return pocket.load(name)
