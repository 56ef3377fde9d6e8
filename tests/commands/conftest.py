"""Commands in the tests' own process, on pictures of few pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adapt.__main__ import parser
from tests.api.conftest import clip, data, model

__all__ = ["clip", "data", "model"]

QUICK = ("--backbone", "pocket", "--shots", "2", "-S", "optimizer.epochs=3", "-S", "prune.warmup=1")
FROZEN = ("--backbone", "pocket", "--shots", "2", "--method", "zero_shot")
COLOURS = {"ant": 0, "bee": 120, "wasp": 240}


@pytest.fixture
def adapt_command() -> Callable[..., None]:
    """Run a command as from the terminal; raise the error that exits with status 1."""

    def run(*arguments: str | Path) -> None:
        parsed = parser("adapt").parse_args([str(argument) for argument in arguments])
        parsed.run(parsed)

    return run


@pytest.fixture
def insects(tmp_path) -> Path:
    """Six noisy pictures of each of three shades of grey."""
    rng = np.random.default_rng(0)
    for name, shade in COLOURS.items():
        for number in range(6):
            pixels = np.clip(shade + rng.integers(-30, 30, (40, 48, 3)), 0, 255).astype(np.uint8)
            path = tmp_path / "insects" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path / "insects"
