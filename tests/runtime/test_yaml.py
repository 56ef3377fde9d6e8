"""YAML 1.2, as DVC reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from adapt.runtime.yaml import YAMLError, parse


@pytest.mark.parametrize(
    "text",
    ["1e-3", "1.0e-05", "-.5", "10", "010", "0x1f", "0o17", "no", "yes", "on", "off", "true", "False", "null", "~", "",
     ".inf", "-.inf", "1_000", "12:30", "08", "a photo of a {}.", "[1, 2.5, x]", "{a: {b: 1}}", "&x {a: 1}"],
)  # fmt: skip
def test_scalars_are_those_that_dvc_reads(text):
    assert repr(parse(f"key: {text}")) == repr(YAML(typ="safe").load(f"key: {text}"))


@given(
    st.dictionaries(st.text("abc_", min_size=1), st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False))
)
def test_numbers_come_back(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("yaml") / "x.yaml"
    YAML().dump(content, path)
    assert parse(path.read_text(encoding="utf-8")) == content


@pytest.mark.parametrize("text", ["a: 1\na: 2", "x:\n  a: 1\n  b: 2\n  a: 3"])
def test_key_that_stands_twice_is_refused(text):
    with pytest.raises(YAMLError, match="found the key 'a' twice"):
        parse(text)


def test_merged_keys_may_be_replaced():
    assert parse("x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}")["y"] == {"a": 3, "b": 2}


def test_code_is_not_run():
    with pytest.raises(YAMLError):
        parse("!!python/object/apply:os.getcwd []")
