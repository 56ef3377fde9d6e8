"""The folder of an exported model: its file, checked against the method, and its card."""

import importlib.util
from pathlib import Path
from typing import get_args

from adapt.errors import UserError, nearest
from adapt.export import Format, card, check, onnx, safetensors
from adapt.export.facts import Facts
from adapt.export.folded import Folded
from adapt.methods._base import Method
from adapt.runtime import files

CARD = "README.md"
MODELS = (onnx.FILE, safetensors.FILE)
NEEDED = ("onnx", "onnxscript", "onnxruntime")  # the extra `export`


def is_export(path: Path) -> bool:
    """Whether a folder is one that `write` has made."""
    return (path / CARD).is_file() and any((path / name).is_file() for name in MODELS)


def check_format(format: str) -> None:
    """Refuse an unknown format, and one whose packages are missing; raises UserError."""
    if format not in get_args(Format):
        raise UserError(f"export: format: unknown {format!r}; {nearest(format, get_args(Format))}")
    if format == "onnx" and (missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]):
        raise UserError(f"export: {missing[0]} is not installed: pip install 'adapt-clip[export]'")


def write(path: Path, method: Method, facts: Facts, format: Format) -> float:
    """Write a folder whole or not at all, once its file has been found to say what the method says.

    Returns:
        The largest difference of a probability between the two.

    Raises:
        UserError: for a method that cannot be exported so, and where the file says something else.
    """
    facts.check()
    folded = Folded(method)
    if format == "safetensors":
        safetensors.check(method, folded)
    with files.atomic_dir(path) as building:
        if format == "safetensors":
            run, use = safetensors.write(building, folded, facts), safetensors.use(folded, facts)
        else:
            run, use = onnx.write(building, folded, facts), None
        difference = check.largest_difference(method, run, facts.made["dataset"])
        building.joinpath(CARD).write_text(card.write(facts, use), encoding="utf-8")
    return difference
