"""The wheel: what it carries, what it asks for, and that the locks are of it."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from adapt.pipeline import source_hashes
from tests.project import ROOT, checkout

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = {  # what a package may import besides the base; all others keep to the base
    "report": {"report"},
    "pipeline": {"pipeline", "report"},
    "export": {"export"},
    "pretraining": {"report", "pocket", "pretrain"},
    "demo": {"demo"},
}


def build(target: str, source: Path, folder: Path) -> Path:
    """Build as a front end does, but with the installed hatchling: nothing is fetched."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def tracked(*folders: str) -> set[str]:
    command = ["git", "ls-files", "-z", "--", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Path:
    return checkout(tmp_path_factory.mktemp("package") / "adapt")


@pytest.fixture(scope="session")
def wheel(clone, tmp_path_factory) -> dict[str, bytes]:
    return contents(build("wheel", clone, tmp_path_factory.mktemp("wheel")))


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "clip/model_configs/pocket.json",
        "conf/config.yaml",
        "data/datasets.yaml",
        "data/imagenet.txt",
        "download/sources.yaml",
        "models/pocket.md",
        "models/pocket.safetensors",
        "report/templates/page.html",
    ],
)
def test_wheel_carries(name: str, wheel):
    assert f"adapt/{name}" in wheel


def test_wheel_carries_the_package_settings_and_pocket_clip_alone(wheel):
    carried = {name for name in wheel if ".dist-info/" not in name}
    models = {"models/pocket.md", "models/pocket.safetensors"}
    assert carried == tracked("adapt") | {f"adapt/{name}" for name in tracked("conf") | models}


@pytest.mark.parametrize("folder", ["conf", "models"])
def test_what_is_laid_into_the_package_is_the_checkouts_byte_for_byte(folder: str, wheel):
    laid = {name: data for name, data in wheel.items() if name.startswith(f"adapt/{folder}/")}
    assert laid and all((ROOT / name.removeprefix("adapt/")).read_bytes() == data for name, data in laid.items())


def test_wheel_carries_its_licence(wheel):
    (name,) = [name for name in wheel if name.endswith(".dist-info/licenses/LICENSE")]
    assert wheel[name] == (ROOT / "LICENSE").read_bytes()


def test_wheel_installs_the_command(wheel):
    (name,) = [name for name in wheel if name.endswith(".dist-info/entry_points.txt")]
    assert wheel[name].decode().split() == ["[console_scripts]", "adapt", "=", "adapt.__main__:cli"]


def test_wheel_of_the_sdist_is_the_same(wheel, clone, tmp_path):
    sdist = build("sdist", clone, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    assert contents(build("wheel", source, tmp_path / "wheel")) == wheel


def test_editable_install_holds_no_copies(clone, tmp_path):
    """Settings or weights beside the checkout's own would go stale."""
    code = f"from hatchling.build import build_editable as build; print(build({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=clone, check=True, capture_output=True)
    (built,) = tmp_path.iterdir()
    files = {name: data for name, data in contents(built).items() if ".dist-info/" not in name}
    assert files == {"_adapt_clip.pth": bytes(clone)}


def test_version_is_that_of_the_citation():
    assert YAML(typ="safe").load(ROOT / "CITATION.cff")["version"] == PROJECT["version"]


def test_version_is_the_newest_of_the_changelog():
    """The heading of a release, or what the unreleased changes say they will be."""
    newest = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1]
    heading = newest.splitlines()[0]
    said = re.search(r"will be (\d+\.\d+\.\d+)", newest) if heading == "[Unreleased]" else re.match(r"\[(.*)\]", newest)
    assert said and said[1] == PROJECT["version"]


def normalized(names: Iterable[str]) -> set[str]:
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def distributions(requirements: list[str]) -> set[str]:
    return normalized(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requirements)


@cache
def providers() -> dict[str, set[str]]:
    """The distributions by the name that is imported."""
    return {module: normalized(names) for module, names in packages_distributions().items()}


def imported(path: Path) -> set[str]:
    """Return the third-party imports of a file, also in functions and for types."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    ours = {"adapt", "stages", "tests", "benchmarks", "docs"}
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - ours


def undeclared(path: Path, declared: set[str]) -> list[str]:
    return [name for name in sorted(imported(path)) if not providers().get(name, set()) & declared]


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "adapt").iterdir() if path.name != "__pycache__"))
def test_library_imports_what_it_declares(name: str):
    declared = distributions(PROJECT["dependencies"])
    for extra in EXTRAS.get(name, set()):
        declared |= distributions(PROJECT["optional-dependencies"][extra])
    place = ROOT / "adapt" / name
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place] if place.suffix == ".py" else []
    assert not {str(path): names for path in files if (names := undeclared(path, declared))}


@pytest.mark.parametrize("folder", ["stages", "tests", "benchmarks", "docs"])
def test_checkout_imports_what_is_declared(folder: str):
    groups = [
        PROJECT["dependencies"],
        *PROJECT["optional-dependencies"].values(),
        PYPROJECT["dependency-groups"]["dev"],
    ]
    declared = set[str]().union(*map(distributions, groups))
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files and not {str(path): names for path in files if (names := undeclared(path, declared))}


LOCK = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))


def uv(*arguments: str) -> str:
    command = [sys.executable, "-m", "uv", *arguments, "--offline", "--python", sys.executable]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout


def test_lock_is_of_pyproject():
    uv("lock", "--check")


def export(*chosen: str) -> list[str]:
    made = uv("export", "--frozen", *chosen, "--format", "requirements-txt", "--no-hashes",
              "--no-annotate", "--no-header", "--no-emit-project")  # fmt: skip
    return made.splitlines()


def test_locks_for_pip_are_uvs():
    """The first is of `make setup`; the second adds the extra `docs` and the group `dev`."""
    setup = export("--all-extras", "--no-extra", "docs", "--no-dev")
    added = [pin for pin in export("--all-extras") if pin not in setup]
    for name, made in {"requirements.lock": setup, "requirements-dev.lock": added}.items():
        head, *pins = (ROOT / name).read_text(encoding="utf-8").splitlines()
        assert "make lock" in head and pins == made, "run `make lock`"


SINCE = {"audioop-lts": (3, 13)}  # what gave Python a module until then


def needs(name: str, python: str) -> bool:
    return tuple(map(int, python.split("."))) >= SINCE.get(name, (3,))


def fits(wheel: str, python: str, platform: str) -> bool:
    interpreter, abi, systems = wheel.removesuffix(".whl").split("-")[-3:]
    ours = f"cp{python.replace('.', '')}"
    for tag in interpreter.split("."):
        later = (abi, tag[:3]) in (("abi3", "cp3"), ("none", "py3")) and int(tag[3:] or 0) <= int(ours[3:])
        if (tag == ours or later) and re.search(rf"\bany$|{platform}", systems):
            return True
    return False


@pytest.mark.parametrize("platform", ["manylinux.*x86_64", "manylinux.*aarch64", "macosx.*(arm64|universal2)"])
def test_there_is_a_wheel_of_everything_locked_for_every_python(platform: str):
    pythons = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if " :: Python :: 3." in line]
    wheels = {
        package["name"]: [] for package in LOCK["package"] if not package["name"].startswith(("cuda-", "nvidia-"))
    }
    for package in LOCK["package"]:
        wheels.get(package["name"], []).extend(wheel["url"].rpartition("/")[2] for wheel in package.get("wheels", []))
    wanted = {name: [python for python in pythons if needs(name, python)] for name in wheels}
    lacking = {
        name for name in wheels
        if not all(any(fits(wheel, python, platform) for wheel in wheels[name]) for python in wanted[name])
    }  # fmt: skip
    assert pythons and lacking - {"triton", "pywin32"} == {"adapt-clip", "antlr4-python3-runtime"}, "pure Python both"


def test_what_setup_leaves_out_for_the_cpu_is_what_pytorch_needs_on_linux_alone():
    (pattern,) = re.findall(r"grep -hEv '(.*?)'", (ROOT / "setup.sh").read_text(encoding="utf-8"))
    (torch,) = [package for package in LOCK["package"] if (package["name"], package["version"][:3]) == ("torch", "2.1")]
    needs = {need["name"]: "sys_platform == 'linux'" in need.get("marker", "") for need in torch["dependencies"]}
    assert needs == {name: bool(re.match(pattern, f"{name}==")) for name in needs}
    others = {need["name"] for package in LOCK["package"] for need in package.get("dependencies", [])
              if not re.match(pattern, f"{package['name']}==")}  # fmt: skip
    assert {name for name in others if re.match(pattern, f"{name}==")} == {"torch", "torchvision"}


def test_lock_names_the_public_registry_alone():
    lock = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert set(re.findall(r'"\w+://[^/"]*', lock)) == {'"https://pypi.org', '"https://files.pythonhosted.org'}


def test_aarch64_linux_is_locked_to_the_last_build_for_the_cpu():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line.startswith("torch") and "== 'aarch64' and sys_platform == 'linux'" in line]
    assert [pin.split(" ;")[0] for pin in pins] == ["torch==2.9.1", "torchvision==0.24.1"]


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """The wheel as pip unpacks it."""
    folder = tmp_path_factory.mktemp("site")
    for name, data in wheel.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


WITHOUT = """
import sys

class Without:  # a finder that does not see some modules
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, *given):
        return None if name.partition(".")[0] in EXTRAS else self.finder.find_spec(name, *given)

sys.meta_path[:] = map(Without, sys.meta_path)
"""


def run_installed(code: str, installed: Path, folder: Path) -> str:
    """Return the output of a program in an empty folder, with the base dependencies."""
    extras = {
        "dvc",
        "pandas",
        "matplotlib",
        "mlxtend",
        "qtawesome",
        "psutil",
        "gradio",
        "onnx",
        "onnxscript",
        "onnxruntime",
    }
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.replace("EXTRAS", repr(sorted(extras))) + code],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def block(document: str, number: int) -> str:
    """A block of Python in a document."""
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)[number]


@pytest.mark.parametrize("document", ["README.md", "docs/library.md"])
def test_quickstart_runs_from_the_wheel_and_prints_what_is_told(document: str, installed, tmp_path):
    code = block(document, 0)
    said = run_installed(f"{code}\nprint(adapt.__file__)", installed, tmp_path).splitlines()
    assert Path(said[-1]).is_relative_to(installed)
    text = (ROOT / document).read_text(encoding="utf-8")
    told = [float(number) for number in re.findall(r"\b0\.\d{3,}", text.split("import adapt", 1)[1])]
    assert abs(float(said[0]) - told[0]) < 0.03, "other processors round otherwise"
    lengths = ast.literal_eval(said[1])
    assert sum(map(sum, lengths.values())) == sum(map(sum, told_lengths(text).values())) == 18
    assert said[2] == "['zero']" and (tmp_path / "run/prompts.safetensors").is_file()


def test_several_methods_on_shared_features_give_what_is_told(installed, tmp_path):
    start = block("docs/library.md", 0).partition("model =")[0]
    number = next(n for n in range(9) if "teacher_features" in block("docs/library.md", n))
    said = run_installed(f"{start}\n{block('docs/library.md', number)}", installed, tmp_path)
    row = re.compile(r"^(\w+) +(0\.\d+)  (\d+) tokens$", re.MULTILINE)
    told = row.findall((ROOT / "docs/library.md").read_text(encoding="utf-8"))
    assert len(told) == 4 and [(name, tokens) for name, _, tokens in row.findall(said)] == [(n, t) for n, _, t in told]
    assert all(abs(float(a) - float(b)) < 0.03 for (_, a, _), (_, b, _) in zip(row.findall(said), told, strict=True))


def told_lengths(text: str) -> dict[str, list[int]]:
    return ast.literal_eval(re.findall(r"\{'text': .*?\}", text)[0])


def test_version_of_the_installed_library_is_the_projects(installed, tmp_path):
    assert run_installed("import adapt; print(adapt.__version__)", installed, tmp_path) == f"{PROJECT['version']}\n"


def test_missing_extra_is_one_sentence(installed, tmp_path):
    code = "import adapt\ntry: adapt.load_dataset('mnist')\nexcept adapt.UserError as error: print(error)"
    said = run_installed(code, installed, tmp_path)
    assert said.count("\n") == 1 and "pip install 'adapt-clip[pocket]'" in said


def test_code_of_no_stage_contains_the_pocket_clip():
    found = source_hashes.stage_manifests(["train", "evaluate", "report"], ["adapt"])
    assert not [name for manifest in found.values() for name in manifest if "pocket.safetensors" in name]
