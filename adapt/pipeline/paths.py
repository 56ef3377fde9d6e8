"""Resolve paths that the user gave in params or in the environment."""

import os
from pathlib import Path

from adapt.data import catalog
from adapt.errors import UserError


def resolve(text: str) -> Path:
    """Return a path, with `~` expanded to the home folder.

    A relative path is looked up here and then in the main checkout. DVC runs an experiment in a copy of the checkout
    that holds only what git tracks; $DVC_ROOT names the checkout itself.

    Raises: UserError if `~` or `~name` has no home folder.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: there is no such home folder; give the path in full") from None
    main = os.environ.get("DVC_ROOT")
    return path if path.is_absolute() or path.exists() or not main else Path(main) / path


def datasets(given: str | None) -> Path:
    """Return the folder of datasets: as given, else $ADAPT_DATA, else ./datasets."""
    return resolve(given or catalog.default_root())


def weights(pretrained: str) -> str:
    """Return the path of `backbone.pretrained`, or that value as an open_clip tag."""
    path = resolve(pretrained)
    return str(path) if path.is_file() else pretrained
