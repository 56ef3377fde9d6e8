"""The machine for `make gpu`, built from installed packages.

It has Python and PyTorch, but no package registry and no DVC.

    python -m tests.gpu.machine FOLDER
    cd FOLDER && PATH=FOLDER/python/bin:$PATH sh benchmarks/gpu.sh

FOLDER is the checkout. FOLDER/python is an environment with those packages of machine.txt that are installed here, and
FOLDER/gpu_packages has the packages that `make gpu-packages` puts there. All are links.
"""

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from tests.project import ROOT

CHECKOUT = ("adapt", "benchmarks", "conf", "models", "tests", "pyproject.toml", "params.yaml")
NEWER = ("httpx2", "httpcore2", "truststore")  # needs of the huggingface_hub that is locked; the one there has others


def there() -> list[str]:
    """The packages that the machine has."""
    return (ROOT / "tests/gpu/machine.txt").read_text(encoding="utf-8").split()


def carried() -> list[str]:
    """GPU_PACKAGES."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (names,) = re.findall(r"^GPU_PACKAGES := (.*)$", text, re.MULTILINE)
    return names.split()


def installed(names: Iterable[str]) -> Iterator[Distribution]:
    """Those that are here."""
    for name in names:
        try:
            yield distribution(name)
        except PackageNotFoundError:
            continue


def link(distributions: Iterable[Distribution], folder: Path) -> None:
    """Lay links to them into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in distributions:
        for name in {path.parts[0] for path in one.files or () if path.parts[0] not in {"..", "__pycache__"}}:
            if not (folder / name).exists():  # several share it
                (folder / name).symlink_to(Path(str(one.locate_file(name))))


def make(folder: Path) -> Path:
    """Make it."""
    python = folder / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(python)], check=True)
    link(installed([*there(), *NEWER]), Path(sysconfig.get_path("purelib", "venv", {"base": str(python)})))
    link(installed(carried()), folder / "gpu_packages")
    for name in CHECKOUT:
        (folder / name).symlink_to(ROOT / name)
    return folder


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve())
