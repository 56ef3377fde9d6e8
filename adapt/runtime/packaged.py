"""Files that the wheel carries beside the code: conf/ and the pocket CLIP.

In a checkout they are at its top.
"""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def find(name: str) -> Path:
    """Return the path of a packaged file or folder such as `conf`.

    It is inside the package if that was installed from a wheel.
    """
    inside = PACKAGE / name
    return inside if inside.exists() else PACKAGE.parent / name
