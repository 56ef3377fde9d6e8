"""Which files of the code a stage is made of."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adapt import methods
from adapt.pipeline import source_hashes
from tests.project import ROOT

STAGES = ("configure", "sample", "pack", "teacher", "train", "evaluate", "report", "pretrain")
LOADED = """
import importlib, json, sys
stage, method = sys.argv[1:]
importlib.import_module(f"stages.{stage}")
if method:
    importlib.import_module("adapt.methods").find(method)
files = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "adapt"]
print(json.dumps(files))
"""
# ast.dump tells its tree in one way under 3.11, in another under 3.12.1 and in a third under 3.13
DIVERGENT = """
class Empty: pass
def f(x, *, y=None, **z): return [], {**z}, f(), b"\\0", 1e-07, -1, 2j, ..., u"a" "b"
def text(x, w): return f"", f"{x}", f"{x:}", f"{x:{w}}", f"{x!r:>{w}.{w}}", f"{x = }", "a" f"{x}b" f"" f"c{w}" "", "{x}"
match f:
    case Empty(x=1) | [_, *_]: print("\U0001fae8 \U0002ebf0")
try: lambda: (yield)
except* OSError: pass
"""
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
DIGESTS = """
import json, runpy
from pathlib import Path
digest = runpy.run_path("adapt/pipeline/source_hashes.py")["digest"]  # which needs no package
files = [path for folder in ("adapt", "stages") for path in Path(folder).rglob("*.py")]
print(json.dumps({path.as_posix(): digest(path) for path in files}))
"""


@pytest.fixture(scope="module")
def manifests() -> dict[str, dict[str, str]]:
    return source_hashes.stage_manifests(list(STAGES), methods.names())


@pytest.fixture
def write(tmp_path, monkeypatch, request):
    """Write files of a package that no other test has, and give the package's name."""
    monkeypatch.chdir(tmp_path)
    package = f"code_of_{request.node.name}"

    def make(**files: str) -> str:
        (tmp_path / package).mkdir(exist_ok=True)
        for name, text in {"__init__.py": "", **{f"{name}.py": text for name, text in files.items()}}.items():
            (tmp_path / package / name).write_text(text.replace("HERE", package), encoding="utf-8")
        return package

    return make


@pytest.mark.parametrize("stage", STAGES)
def test_manifest_names_all_that_is_loaded(stage, manifests):
    names = methods.names() if f"{stage}/adapt" in manifests else [""]
    for method in names[:3] if names[0] else names:
        command = [sys.executable, "-c", LOADED, stage, method]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        loaded = {Path(file).relative_to(ROOT).as_posix() for file in json.loads(done.stdout)}
        loaded = {name for name in loaded if not source_hashes.is_left_out(source_hashes.module_of(Path(name)))}
    assert loaded and loaded <= manifests["/".join(filter(None, (stage, method)))].keys()


def test_a_method_is_made_of_itself_and_of_what_it_builds_on(manifests):
    own = {name for name in manifests["train/kgcoop"] if name.startswith("adapt/methods/")}
    assert own == {
        f"adapt/methods/{name}.py" for name in ("__init__", "_base", "_two_tower", "_init_words", "coop", "kgcoop")
    }


def test_what_changes_no_number_is_left_out(manifests):
    """A new sentence in a lock's message runs nothing again.

    A new way to write numbers does.
    """
    names = {name for files in manifests.values() for name in files if name.startswith("adapt/runtime/")}
    assert names == {f"adapt/runtime/{name}.py" for name in ("__init__", "formats", "yaml")}


def test_configure_is_made_of_all_methods(manifests):
    assert {f"adapt/methods/{name}.py" for name in methods.names()} <= manifests["configure"].keys()


def test_data_beside_a_package_belongs_to_it(manifests):
    assert {"adapt/data/datasets.yaml", "adapt/data/imagenet.txt"} <= manifests["sample"].keys()
    assert "adapt/report/templates/page.html" in manifests["report"]
    assert not {name for name in manifests["sample"] if name.startswith(("adapt/report", "adapt/download"))}


def test_import_inside_a_function_counts(write):
    package = write(a="def f():\n    from HERE import b\n", b="")
    assert f"{package}/b.py" in source_hashes.hashes_of(f"{package}.a")


def test_import_for_types_alone_does_not_count(write):
    package = write(a="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from HERE import b\n", b="")
    assert f"{package}/b.py" not in source_hashes.hashes_of(f"{package}.a")


def test_comments_docstrings_and_layout_change_nothing(write):
    package = write(a='"""Old."""\n\ndef f():\n    """Old."""\n    return (1)\n', b="# new\ndef f(): return 1\n")
    first, second = (source_hashes.digest(Path(package, f"{name}.py")) for name in "ab")
    assert first == second


def test_a_changed_number_counts(write):
    package = write(a="def f():\n    return 1\n", b="def f():\n    return 2\n")
    first, second = (source_hashes.digest(Path(package, f"{name}.py")) for name in "ab")
    assert first != second


def test_the_digest_of_what_pythons_parse_differently_is_known(tmp_path):
    (tmp_path / "divergent.py").write_text(DIVERGENT, encoding="utf-8")
    assert source_hashes.digest(tmp_path / "divergent.py") == (
        "c8d9e1f23d2bb6c74950a1adceda32cb48955a875bb5fa5b6ff76f16b7882e97"
    )


def digests(python: str | Path) -> dict[str, str]:
    """The digests of all files of the code, as this Python tells them."""
    done = subprocess.run([python, "-c", DIGESTS], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def find_python(version: str) -> str | Path | None:
    """Return a Python of this version, from the path or from pyenv.

    pyenv's shims on the path may fail to start.
    """
    for python in (shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")):
        if python and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0:
            return python
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_every_python_finds_the_same_digests(version):
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on the path or in ~/.pyenv/versions")
    assert digests(python) == digests(sys.executable)
