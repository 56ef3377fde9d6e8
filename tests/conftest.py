"""Fixtures: the golden CLIP, whose weights are a formula, where golden numbers lie, and a headless Chromium."""

import json
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import settings
from safetensors.torch import load_file

from adapt.clip.backbone import Backbone, freeze
from adapt.config import AugmentConfig
from adapt.data.loader import FewShotLoader
from adapt.runtime.checkpoint import Checkpoint
from adapt.task import FewShotTask
from adapt.training.teacher_features import (
    embed_classes,
    embed_images,
    embed_templates,
    embed_views,
    ensemble,
    zero_shot,
)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
GOLDENS = Path(__file__).parent / "goldens"
CLASSES = ["annual crop land", "forest", "brushland or shrubland", "river", "sea or lake"]

settings.register_profile("thorough", max_examples=500)

torch.set_num_threads(1)  # tests run side by side; more threads than cores made them ten times slower


def golden_weights(shapes: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
    """Draw the weights: RandomState(1000 + k) for the k-th key in sorted order.

    goldens/README.md gives the scales.
    """
    weights = {}
    for k, (key, shape) in enumerate(sorted(shapes.items())):
        if key == "logit_scale":
            weights[key] = torch.tensor(np.log(1 / 0.07), dtype=torch.float32)
            continue
        norm = len(shape) == 1 and key.endswith(".weight")
        if norm:
            std = 0.1
        elif len(shape) == 1 or key.endswith(("token_embedding.weight", "positional_embedding")):
            std = 0.02
        else:
            std = shape[-1] ** -0.5
        values = np.random.RandomState(1000 + k).standard_normal(tuple(shape)) * std + norm
        weights[key] = torch.from_numpy(values.astype(np.float32))
    return weights


@pytest.fixture(scope="session")
def golden_clip() -> torch.nn.Module:
    """open_clip's CLIP, frozen, with weights by formula.

    It has 3 + 3 layers and ViT-B/16's widths.
    """
    model = open_clip.CLIP(
        embed_dim=512,
        quick_gelu=True,
        vision_cfg={"layers": 3, "width": 768, "head_width": 64, "patch_size": 16, "image_size": 32},
        text_cfg={"layers": 3, "width": 512, "heads": 8, "context_length": 77, "vocab_size": 49408},
    )
    model.load_state_dict(golden_weights({key: value.shape for key, value in model.state_dict().items()}))
    return model.eval().requires_grad_(False)


def small_clip(residual: float = 1.0) -> Backbone:
    """A small random CLIP, with different depths and widths in its two towers.

    residual: standard deviation of what enters the first block; every weight matrix keeps the scale of its input.
    """
    open_clip.add_model_config(Path(__file__).parent / "models")
    torch.manual_seed(0)
    model = open_clip.create_model("tiny")
    for name, weight in model.named_parameters():
        if "embedding" in name or name == "visual.conv1.weight":
            torch.nn.init.normal_(weight, std=residual / (weight[0].numel() ** 0.5 if "conv1" in name else 1))
        elif weight.ndim == 2:
            torch.nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    return freeze("tiny", model, torch.device("cpu"))


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    return small_clip()


def make_task(backbone: Backbone) -> FewShotTask:
    """Five classes, with the backbone's own class embeddings as the teacher."""
    features = embed_templates(backbone, CLASSES, ["a photo of a {}."])
    return FewShotTask(backbone, "a photo of a {}.", CLASSES, ensemble(features), seed=1, zero_shot=zero_shot(features))


def make_loader(backbone: Backbone) -> FewShotLoader:
    """Eleven random images of the five classes in three views."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, 40, 36), generator=generator, dtype=torch.uint8) for _ in range(11)]
    augment = AugmentConfig(crop_scale=[0.5, 1.0], horizontal_flip=True)
    return FewShotLoader(
        images=images,
        labels=torch.arange(11) % 5,
        view_features=embed_views(backbone, images, 1, index_offset=0, views=3, augment=augment),
        eval_features=embed_images(backbone, [image[:, :32, :32].permute(1, 2, 0).numpy() for image in images]),
        normalise=backbone.normalise,
        seed=1,
        batch_size=4,
        image_size=backbone.image_size,
        device=backbone.device,
        index_offset=0,
        **augment.model_dump(),
    )


@pytest.fixture
def task(backbone) -> FewShotTask:
    """On the small CLIP."""
    return make_task(backbone)


@pytest.fixture
def batches(backbone) -> FewShotLoader:
    return make_loader(backbone)


class Killed(Exception):
    """The exception that stands for a killed run."""


class Deadly(FewShotLoader):
    """Batches with one that kills."""

    at: tuple[int, int]

    def __call__(self, epoch: int, first: int = 0):
        for step, batch in enumerate(super().__call__(epoch, first), start=first):
            if (epoch, step) == self.at:
                raise Killed
            yield batch


def make_deadly(batches: FewShotLoader, *at: int) -> Deadly:
    """The batches, of which the one of this (epoch, step) kills."""
    made = Deadly(**vars(batches))
    object.__setattr__(made, "at", at)
    return made


@pytest.fixture
def deadly(batches):
    """A function from (epoch, step) to the batches, of which that one kills."""
    return partial(make_deadly, batches)


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A function that opens a run's checkpoint after its former process has died."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    opened: list[Checkpoint] = []

    def make(seconds: float = 0.0, run: str = "train/run", fingerprint: str = "f" * 64) -> Checkpoint:
        for old in opened:
            if old.lock:
                old.lock.close()
        opened.append(Checkpoint(tmp_path / ".scratch" / run, fingerprint, seconds))
        return opened[-1]

    return make


@pytest.fixture(scope="session")
def golden_task(golden_clip) -> FewShotTask:
    """The golden classes and CLIP; the teacher averages the goldens' three templates."""
    backbone = freeze("golden", golden_clip, torch.device("cpu"))
    templates = ["a photo of a {}.", "a bad photo of the {}.", "itap of a {}."]
    return FewShotTask(backbone, "a photo of a {}.", CLASSES, embed_classes(backbone, CLASSES, templates), seed=1)


@pytest.fixture(scope="session")
def golden_images() -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(7).standard_normal((3, 3, 32, 32)).astype(np.float32))


@pytest.fixture(scope="session")
def golden():
    """A function from a golden's name to its tensors (or, for JSON, its content)."""

    def read(name: str):
        path = GOLDENS / name
        return json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else load_file(path)

    return read


@pytest.fixture(scope="session")
def relative_error():
    def error(a, b) -> float:
        a, b = torch.as_tensor(a).detach().double(), torch.as_tensor(b).detach().double()
        assert a.shape == b.shape, f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
        return float((a - b).norm() / b.norm())

    return error


def pytest_terminal_summary(terminalreporter):
    """Show the figures that tests record, also when they ran in another process."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture
def listening() -> Iterator[None]:
    """Make processes take Ctrl-C, here and in child processes.

    Test runs in the background ignore the keyboard's signal.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """One for all tests of a process: Playwright runs once in each."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on PATH")
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()
