"""How to make each mistake that a user can make.

`REFUSE[kind](folder, given)` makes it and raises its error. `folder` is the working directory, empty at first.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from adapt.clip import backbone as clip
from adapt.config import BackboneConfig
from adapt.data import builtin, catalog, splits
from adapt.data.sampling import sample
from adapt.data.twins import check
from adapt.pipeline import backbone as backbones
from adapt.pipeline import evaluate, fewshot, method_configs, params, stage, teacher_cache, train
from adapt.runtime import formats
from adapt.settings import resolution
from adapt.settings.composition import compose
from adapt.training.teacher_features import embed_classes
from tests.miniature import put

ROOT = Path(__file__).parents[1]
TEMPLATE = "template: a photo of a {}, a type of bird.\n"


@cache
def values() -> str:
    """The committed params, as JSON so that each caller gets its own."""
    return json.dumps(YAML(typ="safe").load(ROOT / "params.yaml"))


def with_params(folder: Path, changes: dict[str, Any]) -> None:
    """params.yaml with some values changed ("a.b": value), or taken out (null)."""
    content = json.loads(values())
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = content
        for section in sections:
            place = place[section]
        place[last] = value
    YAML().dump({key: value for key, value in content.items() if value != "missing"}, folder / "params.yaml")
    params.load(Path("params.yaml"))


def with_text(folder: Path, text: str | bytes | None) -> None:
    """params.yaml of this text."""
    if text is not None:
        put(folder / "params.yaml", text if isinstance(text, bytes) else text.encode())
    params.load(Path("params.yaml"))


def with_override(folder: Path, override: str) -> None:
    """An override of `dvc exp run -S` or of `python -m stages.compose`."""
    compose([override], ROOT / "conf")


def with_method(folder: Path, given: tuple[str, dict[str, Any]]) -> None:
    """A method's entry in the params with some values changed."""
    method, changes = given
    checked = params.Params(**json.loads(values()))
    changed = checked.model_copy(update={"method": resolution.merge(checked.method, {method: changes})})
    method_configs.of_params(changed, method, "digits")


def with_arguments(folder: Path, arguments: list[str]) -> None:
    """The command line of a stage that takes a dataset and a method."""

    def main(dataset: str, method: str, shots: int) -> None: ...

    put(folder / "params.yaml", (ROOT / "params.yaml").read_bytes())
    stage.bind_arguments(main, arguments)


def birds(folder: Path) -> Path:
    """A dataset of one's own: two kinds of birds, three images each."""
    for name in ("robin", "wren"):
        for number in range(3):
            put(folder / "datasets" / "birds" / name / f"{number}.jpg")
    put(folder / "datasets" / "birds" / "dataset.yaml", TEMPLATE.encode())
    return folder / "datasets" / "birds"


def with_own_file(name: str) -> Callable[[Path, str | bytes], None]:
    """A file of one's own dataset replaced."""

    def refuse(folder: Path, text: str | bytes) -> None:
        put(birds(folder) / name, text if isinstance(text, bytes) else text.encode())
        catalog.load("birds", Path("datasets"))

    return refuse


def with_dataset(folder: Path, name: str) -> None:
    """A dataset that is not there."""
    birds(folder)
    catalog.load(name, Path("datasets"))


def with_image(folder: Path, content: bytes) -> None:
    """An image of these bytes."""
    home = birds(folder)
    loaded = catalog.load("birds", Path("datasets"))
    put(home / loaded.test[0].path, content)
    loaded.image(loaded.test[0].path)


def with_split(folder: Path, text: str | bytes) -> None:
    """A split in CoOp's format."""
    splits.parse(text if isinstance(text, bytes) else text.encode(), Path("split.json"))


def with_sample(folder: Path, given: tuple[str, str | bytes | None]) -> None:
    """A file that `sample` made, replaced; None: gone."""
    name, text = given
    digits = builtin.load("digits")
    fewshot.write(digits, {1: sample(digits.train, digits.val, 1, 1)}, 1)
    path = fewshot.ROOT / "digits" / name
    path.unlink()
    if text is not None:
        put(path, text if isinstance(text, bytes) else text.encode())
    fewshot.describe("digits")
    for split in ("train", "val", "test"):
        fewshot.read("digits", 1, split)


def with_config(folder: Path, text: str | None) -> None:
    """What `configure` wrote, replaced."""
    if text is not None:
        put(folder / method_configs.path_of("digits", "coop"), text.encode())
    method_configs.read("digits", "coop")


@cache
def backbone() -> clip.Backbone:
    from tests.conftest import small_clip

    return small_clip()


def with_features(folder: Path, change: dict[str, str] | bytes | None) -> None:
    """The teacher's features of another origin, of these bytes, or gone."""
    with_tensors(teacher_cache.file("digits", None), change)
    teacher_cache.read("digits", None, backbone())


def with_prompts(folder: Path, change: dict[str, Any] | bytes | None) -> None:
    """A method's prompts of another origin, of these bytes, or gone."""
    if isinstance(change, dict):
        config = method_configs.of_params(params.Params(**json.loads(values())), "coop", "digits")
        change = {"config": config.model_dump()} | change
    with_tensors(train.prompts("digits", "coop", 1), change)
    digits = builtin.load("digits")
    fewshot.write(digits, {1: sample(digits.train, digits.val, 1, 1)}, 1)
    with_tensors(teacher_cache.file("digits", None), {}, features=torch.ones(10, 3), zero_shot=torch.ones(10, 3))
    images: Any = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    evaluate.score(backbone(), "digits", "coop", 1, images, batch_size=1, store=None)


def with_tensors(path: Path, change: dict[str, Any] | bytes | None, **tensors: torch.Tensor) -> None:
    if isinstance(change, dict):
        facts = {"backbone": backbone().name, "weights": backbone().weights}
        formats.write_tensors(path, tensors or {"features": torch.ones(2, 3)}, facts | change)
    elif change is not None:
        put(path, change)


def with_weights(folder: Path, given: tuple[str, bytes | None]) -> None:
    """A file of weights for the backbone, of these bytes."""
    name, content = given
    if content is not None:
        put(folder / name, content)
    config = params.Params(**json.loads(values()))
    backbones.load(BackboneConfig(name="pocket", pretrained=name), config.runtime)


def with_names(folder: Path, given: dict[str, Any]) -> None:
    """One's own dataset, whose classes are called thus."""
    home = birds(folder)
    put(
        home / "dataset.yaml",
        TEMPLATE.encode() + json.dumps({"classes": given}).encode()[1:-1].replace(b'"classes"', b"classes"),
    )
    source = catalog.load("birds", Path("datasets"))
    check(backbone().tokenize, source)
    embed_classes(backbone(), list(source.classes), [source.template])


REFUSE: dict[str, Callable[[Path, Any], None]] = {
    "params": with_params,
    "params.yaml": with_text,
    "override": with_override,
    "method": with_method,
    "arguments": with_arguments,
    "dataset": with_dataset,
    "dataset.yaml": with_own_file("dataset.yaml"),
    "names": with_names,
    "images.csv": with_own_file("images.csv"),
    "split.json": with_own_file("split.json"),
    "image": with_image,
    "split": with_split,
    "sample": with_sample,
    "config": with_config,
    "features": with_features,
    "prompts": with_prompts,
    "weights": with_weights,
}
