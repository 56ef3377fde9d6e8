"""Where a path leads that the user gave in params or in the environment."""

import os
from pathlib import Path

from adapt.data import catalog
from adapt.errors import UserError


def resolve(text: str) -> Path:
    """A path with `~` as the home folder. What is relative is sought here and then in the main checkout.

    An experiment of DVC's runs in a copy of the checkout that holds what git tracks and nothing else; $DVC_ROOT names
    the checkout itself.

    Raises: UserError where `~` or `~name` is nobody's.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: there is no such home folder; give the path in full") from None
    main = os.environ.get("DVC_ROOT")
    return path if path.is_absolute() or path.exists() or not main else Path(main) / path


def datasets(given: str | None) -> Path:
    """The folder of datasets: the one that is given, else $ADAPT_DATA, else ./datasets."""
    return resolve(given or catalog.default_root())


def weights(pretrained: str) -> str:
    """What `backbone.pretrained` means: the path of a file, or else an open_clip tag."""
    path = resolve(pretrained)
    return str(path) if path.is_file() else pretrained
