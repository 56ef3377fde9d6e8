"""Artefacts are written completely or not at all, and read back bit-equal.

A file that belongs to something else is refused.
"""

import math

import pytest
import torch

from adapt.errors import UserError
from adapt.runtime import files, formats


def test_folder_takes_its_name_when_whole(tmp_path):
    with files.atomic_dir(tmp_path / "a" / "out") as path:
        (path / "x").write_text("1", encoding="utf-8")
        assert not (tmp_path / "a" / "out").exists()
    assert (tmp_path / "a" / "out" / "x").read_text(encoding="utf-8") == "1"


def test_folder_that_fails_leaves_the_old_one(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(RuntimeError), files.atomic_dir(tmp_path / "out") as path:
        (path / "new").touch()
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_folder_replaces_what_was_there(tmp_path):
    for name in ("first", "second"):
        with files.atomic_dir(tmp_path / "out") as path:
            (path / name).touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["second"]


def test_file_that_fails_leaves_the_old_one(tmp_path):
    (tmp_path / "x").write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), files.atomic_write(tmp_path / "x") as path:
        path.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("x", "old")]


def test_numbers_come_back_bit_equal(tmp_path):
    values = [0.1, 1e-17, math.pi, 5.4630998165485776e-05]
    formats.write_csv(tmp_path / "x.csv", ["v"], [{"v": value} for value in values])
    assert [float(row["v"]) for row in formats.read_csv(tmp_path / "x.csv", "make")] == values


def test_tensors_come_back_with_agreeing_metadata(tmp_path):
    formats.write_tensors(tmp_path / "x", {"a": torch.arange(3)}, {"weights": "w", "params": {"lr": 0.1}})
    assert formats.read_tensors(tmp_path / "x", "make", weights="w")["a"].tolist() == [0, 1, 2]


def test_tensors_of_other_weights_are_refused(tmp_path):
    formats.write_tensors(tmp_path / "x", {"a": torch.arange(3)}, {"weights": "a" * 64})
    with pytest.raises(
        UserError, match="made with weights aaaaaaaaaaaa, but the params say bbbbbbbbbbbb; make it again"
    ):
        formats.read_tensors(tmp_path / "x", "make", weights="b" * 64)


@pytest.mark.parametrize("content", [b"", b"not tensors", b"\xff" * 100])
def test_file_that_holds_no_tensors_is_refused(content, tmp_path):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UserError, match="is not a whole safetensors file .*make it again with `make`"):
        formats.read_tensors(tmp_path / "x", "make")


@pytest.mark.parametrize("read", [formats.read_csv, formats.read_json, formats.read_tensors])
def test_missing_file_says_what_makes_it(read, tmp_path):
    with pytest.raises(UserError, match="x is missing; make it with `dvc repro sample`"):
        read(tmp_path / "x", "dvc repro sample")


def test_broken_json_says_what_makes_it(tmp_path):
    (tmp_path / "x").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"is not valid JSON .*make it again with `make`"):
        formats.read_json(tmp_path / "x", "make")


def test_fingerprint_depends_on_every_part(tmp_path):
    (tmp_path / "a").write_text("1", encoding="utf-8")
    parts = [{"lr": 0.1, "kind": "l1"}, 1, tmp_path / "a"]
    first = formats.fingerprint(*parts)
    (tmp_path / "a").write_text("2", encoding="utf-8")
    assert len({first, formats.fingerprint(*parts), formats.fingerprint({"lr": 0.2, "kind": "l1"}, *parts[1:])}) == 3


def test_fingerprint_does_not_depend_on_the_order_of_keys():
    assert formats.fingerprint({"a": 1, "b": 2}) == formats.fingerprint({"b": 2, "a": 1})


def test_same_tensors_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        made_from = {f"key{number}": number for number in range(20)}
        formats.write_tensors(tmp_path / name, {f"t{n}": torch.arange(n) for n in range(5)}, made_from)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
