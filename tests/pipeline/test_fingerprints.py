"""Files outside the repository are checked for changes.

Stages that depend on a changed one run again, and no others.
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from adapt.data import catalog
from adapt.data.specs import FolderSplit, dataset_specs
from adapt.pipeline import fingerprints
from tests import miniature
from tests.miniature import put
from tests.pipeline.test_pipeline import call, stages_run
from tests.project import checkout

ROOT = Path(__file__).parents[2]


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A function that opens the memory anew, as the next run would."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    monkeypatch.setattr(fingerprints, "SETTLED", -1.0)  # files of this moment count as old
    return fingerprints.HashCache


def test_hash_follows_the_content(tmp_path, memory):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"one")
    first = memory().sha256(path)
    path.write_bytes(b"two")
    assert memory().sha256(path) != first
    path.write_bytes(b"one")
    assert memory().sha256(path) == first


def test_file_that_has_not_changed_is_not_read_again(tmp_path, memory, monkeypatch):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"one")
    first = memory()
    digest = first.sha256(path)
    first.save()
    monkeypatch.setattr(fingerprints.hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert memory().sha256(path) == digest


def test_overwritten_file_is_read_though_size_and_time_are_as_before(tmp_path, memory):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"one")
    first = memory()
    digest, before = first.sha256(path), path.stat()
    first.save()
    time.sleep(0.02)  # more than a tick of the file system's clock
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert memory().sha256(path) != digest


def test_file_of_this_moment_is_not_remembered(tmp_path, memory, monkeypatch):
    """It may change once more within the tick of the clock that its times are of."""
    monkeypatch.setattr(fingerprints, "SETTLED", 2.0)
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"one")
    first = memory()
    first.sha256(path)
    assert first.seen == {}


def test_tag_stands_for_itself(memory):
    assert fingerprints.of_backbone("ViT-B-32", "openai", memory())["weights"] == "tag openai"


@pytest.mark.parametrize(
    "name", [name for name, entry in dataset_specs().items() if isinstance(entry.split, FolderSplit)]
)
def test_images_of_imagenet_are_never_read(name, tmp_path, memory):
    miniature.make(name, tmp_path, classes=5)
    assert fingerprints.of_dataset(name, tmp_path, memory())["files"] == 0


def test_split_of_a_downloaded_dataset_counts_and_its_images_do_not(tmp_path, memory):
    miniature.make("dtd", tmp_path, classes=5)
    first = fingerprints.of_dataset("dtd", tmp_path, memory())
    assert first["files"] == 1
    put(tmp_path / "dtd/split_zhou_DescribableTextures.json", b"{}")
    assert fingerprints.of_dataset("dtd", tmp_path, memory()) != first


@pytest.mark.parametrize("name", ["digits", "mnist", "phosphor", "remix", "fontawesome"])
def test_pockets_datasets_are_files_of_packages(name, memory):
    assert (
        all(path.is_file() for _, path in catalog.files(name, ROOT))
        and fingerprints.of_dataset(name, ROOT, memory())["files"]
    )


# --- in the pipeline -------------------------------------------------------------------------------------------------


def picture(path: Path, seed: int) -> None:
    """Noise of a seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A pipeline with weights and a dataset that lie outside, run once."""
    folder = tmp_path_factory.mktemp("inputs")
    for label, name in enumerate(("robin", "wren")):
        for number in range(6):
            picture(folder / "datasets/birds" / name / f"{number}.png", 10 * label + number)
    (folder / "datasets/birds/dataset.yaml").write_text("template: a photo of a {}.\n", encoding="utf-8")
    (folder / "w.safetensors").write_bytes((ROOT / "models/pocket.safetensors").read_bytes())
    made = checkout(folder / "adapt")
    changes = ["datasets=[birds]", "methods=[zero_shot]", "seeds=[1]", "shots=1", "teacher.views=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAPT_DATA", str(folder / "datasets"))
        call(made, "python", "-m", "stages.compose", *changes, f"backbone.pretrained={folder / 'w.safetensors'}")
        call(made, "dvc", "repro")
        yield made


ALL = {f"{stage}@birds" for stage in ("sample", "pack", "teacher")} | {
    "train@birds-zero_shot",
    "evaluate@birds-zero_shot",
}


@pytest.mark.slow
def test_nothing_outside_has_changed(project):
    assert stages_run(call(project, "dvc", "repro")) == set()


@pytest.mark.slow
def test_touched_and_moved_files_are_the_same(project):
    images = project.parent / "datasets/birds/robin"
    (images / "0.png").touch()
    images.rename(images.with_name("aside"))
    images.with_name("aside").rename(images)
    assert stages_run(call(project, "dvc", "repro")) == set()


@pytest.mark.slow
def test_overwritten_weights_run_again_what_read_them(project):
    path = project.parent / "w.safetensors"
    metrics = project / "runs/birds/zero_shot/seed_1/metrics.json"
    before = json.loads(metrics.read_text(encoding="utf-8"))["weights"]
    save_file({key: value + 0.01 * torch.ones_like(value) for key, value in load_file(path).items()}, path)
    assert stages_run(call(project, "dvc", "repro")) >= ALL - {"sample@birds", "pack@birds"}
    assert json.loads(metrics.read_text(encoding="utf-8"))["weights"] != before


@pytest.mark.slow
def test_overwritten_image_runs_again_what_read_it(project):
    split = json.loads((project.parent / "datasets/birds/split.json").read_text(encoding="utf-8"))
    picture(project.parent / "datasets/birds" / split["test"][0][0], 99)
    untouched = {"report", "train@birds-zero_shot"}  # `train` reads the few-shot images, which stay as they are
    assert stages_run(call(project, "dvc", "repro")) >= ALL - untouched


@pytest.mark.slow
def test_new_class_is_told_of_by_sample_and_runs_nothing_else(project):
    picture(project.parent / "datasets/birds/owl/0.png", 200)
    said = call(project, "dvc", "repro")
    assert stages_run(said) == {"sample@birds"}
    assert "sample birds: 1 images, the first owl/0.png (including all of owl), are not in " in said
    (project.parent / "datasets/birds/owl/0.png").unlink()
    (project.parent / "datasets/birds/owl").rmdir()


@pytest.mark.slow
def test_split_drawn_anew_runs_again_what_follows_from_it(project):
    """No hand-made `dvc repro -f sample@birds`."""
    home = project.parent / "datasets/birds"
    picture(home / "robin/new.png", 100)
    (home / "split.json").unlink()
    assert stages_run(call(project, "dvc", "repro")) >= ALL
    assert "new.png" in (home / "split.json").read_text(encoding="utf-8")
