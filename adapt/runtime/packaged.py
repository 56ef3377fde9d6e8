"""What the wheel carries beside the code: conf/ and the pocket CLIP; in a checkout they lie at its top."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def find(name: str) -> Path:
    """The path of a file or folder such as `conf`: inside of the package where it was installed from a wheel."""
    inside = PACKAGE / name
    return inside if inside.exists() else PACKAGE.parent / name
