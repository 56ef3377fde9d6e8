"""A folder is written whole, checked, or not at all."""

import errno
import os
from pathlib import Path

import pytest
import torch

import adapt
from adapt.export import check, folder, onnx, safetensors
from adapt.export.heads import Cosine


@pytest.fixture
def model(fit) -> adapt.Model:
    return fit("adapt")


def content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_file_that_says_something_else_is_not_left_behind(model, tmp_path, monkeypatch):
    honest = Cosine.forward
    monkeypatch.setattr(Cosine, "forward", lambda self, features: 1.01 * honest(self, features))
    with pytest.raises(adapt.UserError, match=r"the file and the model differ by .* in a probability on 16 images"):
        model.export(tmp_path / "out", "safetensors")
    assert not any(tmp_path.iterdir())


def test_what_is_no_number_counts_as_a_difference(model, tmp_path, monkeypatch):
    monkeypatch.setattr(Cosine, "forward", lambda self, features: features[:, :10] * torch.nan)
    with pytest.raises(adapt.UserError, match="differ by nan"):
        model.export(tmp_path / "out", "safetensors")


def test_check_looks_at_photographs_and_at_the_datasets_own_images():
    shown = check.images(32, "phosphor")
    assert shown.shape == (16, 3, 32, 32) and (check.images(32, "digits")[:10] == shown[:10]).all()
    assert (check.images(32, "digits")[10:] != shown[10:]).any()


def test_difference_that_was_found_is_returned(model, tmp_path):
    assert 0 <= model.export(tmp_path / "out", "safetensors") < 1e-4


def test_folder_that_is_there_is_kept(model, tmp_path):
    model.export(tmp_path / "out", "safetensors")
    with pytest.raises(adapt.UserError, match="out already exists: pass overwrite=True or give another"):
        model.export(tmp_path / "out", "safetensors")


def test_exported_model_is_replaced_where_that_is_wanted(model, fit, tmp_path):
    fit("coop").export(tmp_path / "out", "safetensors")
    model.export(tmp_path / "out", "safetensors", overwrite=True)
    assert "adapt on digits" in (tmp_path / "out/README.md").read_text(encoding="utf-8")


def test_folder_of_something_else_is_kept_even_then(model, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(adapt.UserError, match="it holds no exported model; give another"):
        model.export(tmp_path / "out", "safetensors", overwrite=True)
    assert content(tmp_path) == {"out/README.md": b"mine"}


@pytest.mark.parametrize("format", ["onnx", "safetensors"])
def test_full_disk_is_one_sentence_and_leaves_what_was_there(format, model, fit, tmp_path, monkeypatch):
    fit("coop").export(tmp_path / "out", "safetensors")
    before = content(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the card")

    monkeypatch.setattr(folder.card, "write", full)
    with pytest.raises(adapt.UserError, match="export: the card: No space left on device"):
        model.export(tmp_path / "out", format, overwrite=True)
    assert content(tmp_path) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
@pytest.mark.parametrize(("format", "module"), [("onnx", onnx), ("safetensors", safetensors)])
def test_disk_that_fills_while_the_model_is_written_is_one_sentence(format, module, model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FILE", "/dev/full")
    with pytest.raises(adapt.UserError, match="export: .*No space left on device"):
        model.export(tmp_path / "out", format)
    assert not any(tmp_path.iterdir())


def test_place_that_is_a_file_is_one_sentence(model, tmp_path):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(adapt.UserError, match="export: .*Not a directory"):
        model.export(tmp_path / "file/out", "safetensors")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_cannot_be_written_is_one_sentence(model, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(adapt.UserError, match="Permission denied"):
        model.export(tmp_path / "out", "safetensors")


def test_unknown_format_is_refused_with_the_nearest(model, tmp_path):
    with pytest.raises(adapt.UserError, match="export: format: unknown 'onx'; did you mean 'onnx'?"):
        model.export(tmp_path / "out", "onx")


def test_packages_that_are_missing_are_named_before_any_work(model, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "NEEDED", ("onnx", "onnxx"))
    with pytest.raises(adapt.UserError, match="export: onnxx is not installed: pip install 'adapt-clip.export.'"):
        model.export(tmp_path / "out")


@pytest.mark.parametrize("format", ["onnx", "safetensors"])
def test_method_that_cannot_be_exported_is_refused_with_its_reason(format, fit, tmp_path):
    with pytest.raises(adapt.UserError, match="cocoop cannot be exported: its texts depend on each image"):
        fit("cocoop").export(tmp_path / "out", format)
    assert not any(tmp_path.iterdir())


def test_model_in_bfloat16_is_exported_in_float32(few, tmp_path, recwarn):
    clip = adapt.load_clip("pocket", precision="bfloat16")
    model = adapt.fit("zero_shot", clip, few("digits"), progress=False)
    model.export(tmp_path / "out", "safetensors")
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "| precision | bfloat16 while tuning, float32 here |" in card
