"""The paper preset with every method on miniatures of all eleven datasets.

One shot, random weights; no run may end in a traceback. At most five classes each and a ViT of two layers; every tuned
phase is cut to one epoch or two steps. The stages are called one after another in this process, since DVC would take an
hour for so many.
"""

import csv
import importlib
import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import save_file

from adapt.clip import model_configs
from adapt.data import specs as catalogue
from adapt.pipeline import stage
from adapt.settings.composition import compose
from tests import miniature

ROOT = Path(__file__).parents[2]
CLASSES = 5
TOWER = {"layers": 2, "width": 64}
MODEL = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {**TOWER, "image_size": 32, "patch_size": 16, "head_width": 32},
    "text_cfg": {**TOWER, "context_length": 77, "vocab_size": 49408, "heads": 2},
}
TOKENS = {"adapt": 20, "random_prune": 20, "post_hoc": 20, "uniform": 20}  # of 8 × 4 at the start
OVERRIDES = [
    "preset=paper", "seeds=[1]", "shots=1", "backbone.name=two", "backbone.pretrained=two.safetensors",
    "teacher.views=2", "teacher.templates=simple", "prune.warmup=0", "prune.target=20", "optimizer.epochs=1",
    "runtime.parallel_seeds=1", "runtime.num_workers=1", "data.root=datasets",
]  # fmt: skip


def cut(entries: dict[str, Any]) -> None:
    """Cut tuning to one epoch or two steps, and depths to those of two layers."""
    for entry in entries.values():
        for part in (entry, *entry.get("overrides", [])):
            if "optimizer" in part:
                part["optimizer"] |= {"epochs": 1} if part["optimizer"].get("epochs") else {"n_iters_per_shot": 2}
            part |= {name: value for name, value in {"prompt_depth": 2, "search_epochs": 1}.items() if name in part}


def write_params(folder: Path) -> dict[str, Any]:
    """params.yaml of the paper preset, cut short."""
    yaml = YAML(typ="safe")
    params = yaml.load(compose(OVERRIDES, ROOT / "conf"))
    cut(params["method"])
    yaml.dump(params, folder / "params.yaml")
    return params


def write_datasets(folder: Path, names: list[str]) -> None:
    """Miniatures of the datasets, and a catalogue that knows them."""
    known = YAML(typ="safe").load(catalogue.FILE)
    for name in names:
        entry = miniature.make(name, folder / "datasets", classes=CLASSES, each=3)
        known[name] |= {"classes": entry.classes, "split": entry.split.model_dump(exclude_none=True)}
    YAML(typ="safe").dump(known, folder / "datasets.yaml")


def write_backbone(folder: Path) -> None:
    """An architecture of two layers, and random weights of it."""
    (folder / "models").mkdir()
    (folder / "models/two.json").write_text(json.dumps(MODEL), encoding="utf-8")
    open_clip.add_model_config(folder / "models/two.json")
    torch.manual_seed(0)
    save_file(open_clip.create_model("two").state_dict(), folder / "two.safetensors")


def call(name: str, *arguments: str) -> None:
    """A stage, as its script would."""
    stage.run_exclusive(importlib.import_module(f"stages.{name}").main, list(arguments))


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """All stages of all items, and the params that they ran with."""
    folder = tmp_path_factory.mktemp("eleven")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(model_configs, "FOLDER", folder / "models")
        write_backbone(folder)
        model_configs.config_paths.cache_clear()
        params = write_params(folder)
        write_datasets(folder, params["datasets"])
        patch.setattr(catalogue, "FILE", folder / "datasets.yaml")
        catalogue.dataset_specs.cache_clear()
        call("configure")
        call("inputs")
        for dataset in params["datasets"]:
            for name in ("sample", "pack", "teacher"):
                call(name, f"dataset={dataset}")
            for method in params["methods"]:
                for name in ("train", "evaluate"):
                    call(name, f"dataset={dataset}", f"method={method}")
    model_configs.config_paths.cache_clear()
    catalogue.dataset_specs.cache_clear()
    return folder, params


@pytest.mark.slow
def test_every_method_runs_on_every_dataset(ran):
    folder, params = ran
    assert (len(params["datasets"]), len(params["methods"])) == (11, 18)
    found = {path.parent.relative_to(folder / "runs").parts[:2] for path in folder.glob("runs/*/*/seed_1/metrics.json")}
    assert found == {(dataset, method) for dataset in params["datasets"] for method in params["methods"]}


@pytest.mark.slow
def test_every_budget_is_reached(ran):
    folder, params = ran
    for dataset in params["datasets"]:
        metrics = {
            m: json.loads((folder / f"runs/{dataset}/{m}/seed_1/metrics.json").read_text(encoding="utf-8"))
            for m in TOKENS
        }
        assert {method: found["tokens"] for method, found in metrics.items()} == TOKENS


@pytest.mark.slow
def test_imagenets_val_images_are_training_images_that_are_no_shots(ran):
    folder, _ = ran
    with (folder / "data/fewshot/imagenet/seed_1.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    paths = {split: {row["path"] for row in rows if row["split"] == split} for split in ("train", "val")}
    assert {split: len(found) for split, found in paths.items()} == {"train": CLASSES, "val": CLASSES}
    assert not paths["train"] & paths["val"] and all(path.startswith("train/") for path in paths["val"])
