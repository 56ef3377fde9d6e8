"""The folders of the stages' checkpoints, and the inputs that identify them."""

from pathlib import Path

from adapt.pipeline.checkpoints import open_checkpoint
from adapt.runtime import checkpoint


def test_fingerprint_depends_on_the_code(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(checkpoint, "PACKAGE", tmp_path / "code")
    (tmp_path / "code").mkdir()
    fingerprints = []
    for text in ("1", "2"):
        (tmp_path / "code/x.py").write_text(text, encoding="utf-8")
        store = open_checkpoint("train/run", 0, {"lr": 0.1})
        fingerprints.append(store.fingerprint)
        store.clear()
    assert fingerprints[0] != fingerprints[1]


def test_checkpoints_of_an_experiment_are_in_the_main_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    store = open_checkpoint("train/digits-adapt-1", 0)
    assert store.path.parent == Path(tmp_path, ".scratch/train") and store.path.name.startswith("digits-adapt-1-")
    store.clear()
