"""How paths are resolved: home folders, and the main checkout for missing files."""

from pathlib import Path

import pytest

from adapt.data import catalog
from adapt.errors import UserError
from adapt.pipeline import fingerprints, paths
from adapt.pipeline.params import DataConfig
from adapt.pipeline.paths import resolve
from tests.miniature import put

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """The main checkout, seen from a copy as DVC makes one for an experiment."""
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    monkeypatch.delenv("ADAPT_DATA", raising=False)
    return tmp_path / "main"


def birds(root: Path) -> None:
    for name in ("robin", "wren"):
        for number in range(3):
            put(root / "birds" / name / f"{number}.jpg")
    put(root / "birds/dataset.yaml", b"template: a {}.\n")


def test_what_the_copy_lacks_is_sought_in_the_main_checkout(copy):
    assert resolve("datasets") == copy / "datasets"
    put(Path("datasets/x"))
    assert resolve("datasets") == Path("datasets")


@pytest.mark.parametrize("where", ["default", "environment", "params"])
def test_datasets_of_the_main_checkout_are_seen_from_a_copy(where, copy, monkeypatch):
    folder = {"default": "datasets", "environment": "elsewhere", "params": "own"}[where]
    birds(copy / folder)
    if where == "environment":
        monkeypatch.setenv("ADAPT_DATA", folder)
    root = DataConfig(root="own" if where == "params" else None).folder
    assert "birds" in catalog.names(root) and catalog.load("birds", root).classes == ("robin", "wren")


def test_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/w.safetensors") == tmp_path / "w.safetensors"
    (tmp_path / "w.safetensors").write_bytes((ROOT / "models/pocket.safetensors").read_bytes())
    monkeypatch.chdir(ROOT)
    assert paths.weights("~/w.safetensors") == str(tmp_path / "w.safetensors")
    assert not fingerprints.of_backbone("pocket", "~/w.safetensors", fingerprints.HashCache())["weights"].startswith(
        "tag"
    )


def test_nobodys_home_folder_is_refused():
    with pytest.raises(UserError, match="~nobody_of_that_name/w: there is no such home folder"):
        resolve("~nobody_of_that_name/w")


def test_datasets_lie_where_the_environment_says_or_in_the_folder_datasets(monkeypatch, tmp_path):
    monkeypatch.setenv("ADAPT_DATA", str(tmp_path))
    assert paths.datasets(None) == tmp_path and paths.datasets("elsewhere") == Path("elsewhere")
    monkeypatch.delenv("ADAPT_DATA")
    assert paths.datasets(None) == Path("datasets")
