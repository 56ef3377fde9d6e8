"""Files of any content: each ends in a result or in a sentence, never a traceback.

500 examples each: `pytest tests/pipeline/test_fuzz.py --hypothesis-profile=thorough`; by default a few.
"""

import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from ruamel.yaml import YAML

from adapt.errors import UserError
from adapt.runtime.checkpoint import Checkpoint
from tests.refusals import REFUSE, TEMPLATE, values

THOROUGH = settings.default is not None and settings.default.max_examples >= 500
fuzz = settings(
    max_examples=500 if THOROUGH else 15,
    derandomize=not THOROUGH,  # a change breaks the suite, chance does not; the thorough run is random
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANY = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)

JSON = ANY.map(lambda content: json.dumps(content).encode())


def survives(kind: str, given: Any) -> None:
    """A result or a UserError."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            REFUSE[kind](Path(folder), given)
        except UserError:
            pass
        finally:
            os.chdir(before)


def places(content: Any, path: str = "") -> list[str]:
    """The dotted keys of nested mappings."""
    if not isinstance(content, dict):
        return [path]
    below = [place for key in content for place in places(content[key], f"{path}.{key}".strip("."))]
    return [path, *below] if path else below


@st.composite
def broken(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file cut off, with bytes changed, or with something put in."""
    content = bytearray(whole[: draw(st.integers(0, len(whole)))] if draw(st.booleans()) else whole)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(content)))
        content[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=4))
    return bytes(content)


@fuzz
@given(st.dictionaries(st.sampled_from(places(json.loads(values()))), ANY, min_size=1, max_size=2))
def test_params_of_any_values(changes):
    try:
        survives("params", changes)
    except (KeyError, TypeError, AttributeError):  # of the second change, below what the first has replaced
        if len(changes) == 1:
            raise


@fuzz
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode) | JSON)
def test_params_of_any_bytes(content):
    survives("params.yaml", content)


@fuzz
@given(broken(json.dumps(json.loads(values())).encode()))
def test_params_broken_anywhere(content):
    survives("params.yaml", content)


@fuzz
@given(st.sampled_from(sorted(json.loads(values())["method"])), st.dictionaries(st.text(max_size=6), ANY, max_size=2))
def test_method_configs_of_any_names(method, changes):
    survives("method", (method, changes))


@fuzz
@given(st.data())
def test_method_configs_of_any_values(data):
    entries = json.loads(values())["method"]
    method = data.draw(st.sampled_from(sorted(name for name in entries if entries[name])))
    survives("method", (method, {data.draw(st.sampled_from([*entries[method], "overrides"])): data.draw(ANY)}))


ITEM = st.tuples(
    st.sampled_from(["a/1.jpg", "../b.jpg", "/c.jpg", "é.jpg", ""]), st.integers(-1, 3), st.sampled_from("ab")
)
SPLIT = st.fixed_dictionaries({part: st.lists(ITEM, max_size=4) for part in ("train", "val", "test")})


@fuzz
@given(st.binary(max_size=40) | JSON | SPLIT.map(lambda split: json.dumps(split).encode()))
def test_split_of_any_content(content):
    survives("split", content)
    survives("split.json", content)


CELL = st.sampled_from(["robin/0.jpg", "robin/1.jpg", "wren/2.jpg", "a", "7", "", '"', "../x", "\0", "ü", "²", "٣"])
ROWS = st.lists(st.lists(CELL, max_size=3).map(",".join), max_size=8).map("\n".join)


@fuzz
@given(st.binary(max_size=60) | ROWS.map(lambda rows: f"path,label\n{rows}\n".encode()))
def test_table_of_any_content(content):
    survives("images.csv", content)


@fuzz
@given(
    st.binary(max_size=40)
    | st.text(max_size=40).map(str.encode)
    | ANY.map(lambda x: f"{TEMPLATE}classes: {json.dumps(x)}\n".encode())
)
def test_description_of_any_content(content):
    survives("dataset.yaml", content)


SUBSET = b"split,path,label,name\ntrain,digits/0,0,zero\nval,digits/1,1,one\n"


@fuzz
@given(
    st.sampled_from(["seed_1.csv", "test.csv", "dataset.json"]),
    broken(SUBSET) | JSON,
)
def test_sample_of_any_content(name, content):
    survives("sample", (name, content))


@fuzz
@given(ANY.map(json.dumps) | st.text(max_size=40))
def test_config_of_any_content(content):
    survives("config", content)


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(24 * 24 * 3, dtype=np.uint8).reshape(24, 24, 3)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore")  # Pillow's, of odd metadata
@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "bmp", "tiff", "webp", "ppm"])
@fuzz
@given(st.data())
def test_image_of_any_bytes(kind, data):
    survives("image", data.draw(broken(picture(kind)) | st.binary(max_size=60)))


def saved(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


STATE = saved({"fingerprint": "f" * 64, "state": {"parts": [torch.arange(4)]}})


@fuzz
@given(broken(STATE) | st.binary(max_size=60) | ANY.map(saved))
def test_checkpoint_of_any_bytes(content):
    with tempfile.TemporaryDirectory() as folder:
        store = Checkpoint(Path(folder, ".scratch/train/run"), "f" * 64, 0.0)
        store.path.write_bytes(content)
        state = store.load()
        assert state is None or list(state) == ["parts"]
        store.clear()


def tensors() -> bytes:
    from safetensors.torch import save

    return save({"features": torch.ones(2, 3)}, {"made_from": json.dumps({"backbone": "tiny"})})


@fuzz
@given(broken(tensors()) | st.binary(max_size=60))
def test_tensors_of_any_bytes(content):
    survives("features", content)
    survives("prompts", content)


@fuzz
@given(st.sampled_from(["./w.pt", "./w.safetensors"]), broken(STATE) | broken(tensors()) | ANY.map(saved))
def test_weights_of_any_bytes(name, content):
    survives("weights", (name, content))


@fuzz
@given(
    st.lists(
        st.text(max_size=8) | st.sampled_from(["dataset=digits", "method=coop", "dataset=", "method=.."]), max_size=3
    )
)
def test_any_arguments(arguments):
    survives("arguments", arguments)


def test_yaml_of_the_params_is_what_the_fuzz_changes():
    assert YAML(typ="safe").load(json.dumps(json.loads(values()))) == json.loads(values())
