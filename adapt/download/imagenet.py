"""Unpack ImageNet's archives, downloaded by hand, into folders of classes.

torchvision unpacks them and checks their MD5.
"""

import shutil
from pathlib import Path

from adapt.errors import UserError

META = "meta.bin"  # torchvision's extract of the development kit


def unpack(home: Path) -> None:
    """Unpack the three archives in `home` into images/train and images/val.

    Each of these folders gets its name only once it is complete.

    Raises: UserError for a wrong or broken archive.
    """
    from torchvision.datasets import imagenet

    parsers = {"val": imagenet.parse_val_archive, "train": imagenet.parse_train_archive}
    try:
        imagenet.parse_devkit_archive(home)
        for part, parse in parsers.items():
            building, done = home / f"images/{part}.partial", home / "images" / part
            if not done.exists():
                shutil.rmtree(building, ignore_errors=True)
                building.parent.mkdir(exist_ok=True)
                parse(home, folder=str(building.relative_to(home)))
                building.rename(done)
    except RuntimeError as error:
        raise UserError(f"{home}: {error}") from None
    finally:
        (home / META).unlink(missing_ok=True)
