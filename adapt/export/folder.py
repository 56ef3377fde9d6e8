"""The folder of an exported model: a file checked against the method, and a card."""

import importlib.util
from pathlib import Path
from typing import get_args

from adapt.errors import UserError, nearest
from adapt.export import Format, card, check, onnx, safetensors
from adapt.export.facts import Facts
from adapt.export.folded import Folded
from adapt.methods._base import Method
from adapt.runtime import files
from adapt.training import run_folder

CARD = "README.md"
MODELS = (onnx.FILE, safetensors.FILE)
NEEDED = ("onnx", "onnxscript", "onnxruntime")  # the extra `export`


def is_export(path: Path) -> bool:
    """Return whether `write` has made a folder."""
    return (path / CARD).is_file() and any((path / name).is_file() for name in MODELS)


def check_format(format: str) -> None:
    """Raise UserError for an unknown format, and for one whose packages are missing."""
    if format not in get_args(Format):
        raise UserError(f"export: format: unknown {format!r}; {nearest(format, get_args(Format))}")
    if format == "onnx" and (missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]):
        raise UserError(f"export: {missing[0]} is not installed: pip install 'adapt-clip[export]'")


def write(path: Path, method: Method, facts: Facts, format: Format) -> float:
    """Write the folder completely or not at all, after checking the file's results.

    Returns:
        The largest difference between a probability of the file and of the method.

    Raises:
        UserError: for a method that has no export in this format, and if the probabilities differ.
    """
    if facts.metrics is not None:
        run_folder.check_metrics(facts.metrics, facts.made, "export: metrics")
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
