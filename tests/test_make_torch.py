"""`make setup` for real, by pip and by uv, from a server of tiny wheels.

It has PyTorch's build for the CPU, and PyPI's.
"""

import http.server
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.project import ROOT
from tests.test_make import NOWHERE, make, put

# A project whose editable wheel needs nothing to be built: only what the locks name is fetched.
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "adapt-clip"
version = "0.2.0"
requires-python = ">=3.11"
dependencies = ["torch", "torchvision", "tiny"]
[project.optional-dependencies]
docs = []
"""
BACKEND = """\
import shutil
def build_editable(folder, config_settings=None, metadata_directory=None):
    return shutil.copy("adapt_clip-0.2.0-py3-none-any.whl", folder).rpartition("/")[2]
"""
CUDA = ["nvidia-cublas==13.1.1.3", "cuda-toolkit==13.0.3.0", "triton==3.8.0"]
PINS = ["torch==2.14.1", "torchvision==0.29.1", "tiny==1.0", *CUDA]


def put_wheel(folder: Path, pin: str, needs: list[str] | None = None) -> str:
    """Write a wheel; its name."""
    name, version = pin.replace("-", "_").split("==")
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}",
                                       *(f"Requires-Dist: {need}" for need in needs or []), ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {
            **files,
            f"{info}/RECORD": "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"]),
        }.items():
            archive.writestr(path, text)
    return wheel.name


def publish(index: Path, pin: str, needs: list[str] | None = None) -> None:
    """Add a wheel to an index in the simple form (PEP 503)."""
    folder = index / pin.split("==")[0]
    wheel = put_wheel(folder, pin, needs)
    (folder / "index.html").write_text(f'<a href="{wheel.replace("+", "%2B")}">{wheel}</a>', encoding="utf-8")


class Registry:
    """Serves PyPI under /pypi, where torch needs CUDA, and the CPU index under /cpu.

    `asked` holds the requested paths.
    """

    def __init__(self, folder: Path):
        asked = self.asked = list[str]()

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, format, *args):
                asked.append(self.path)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        for pin in PINS:
            publish(folder / "pypi", pin, CUDA if pin.startswith("torch==") else None)
        for pin in ("torch==2.14.1+cpu", "torchvision==0.29.1+cpu", "tiny==1.0"):
            publish(folder / "cpu", pin)


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Iterator[Registry]:
    found = Registry(tmp_path / "registry")
    for name in (
        "PIP_FIND_LINKS",
        "PIP_EXTRA_INDEX_URL",
        "UV_INDEX",
        "UV_INDEX_URL",
        "UV_EXTRA_INDEX_URL",
        "UV_FIND_LINKS",
    ):
        monkeypatch.delenv(name, raising=False)
    own = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": f"{found.address}/pypi",
        "PIP_NO_CACHE_DIR": "1",
        "UV_DEFAULT_INDEX": f"{found.address}/pypi",
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_NO_CONFIG": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def clone(registry, tmp_path, monkeypatch) -> Path:
    """A project that is set up as this one is, on x86_64 Linux."""
    put(tmp_path / "bin/uname", "#!/bin/sh\necho Linux x86_64\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    folder = tmp_path / "adapt"
    put_wheel(folder, "adapt-clip==0.2.0")
    texts = {
        "pyproject.toml": PYPROJECT,
        "backend.py": BACKEND,
        "requirements.lock": "\n".join(PINS),
        "requirements-dev.lock": "",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("Makefile", "setup.sh"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([*UV, "lock", "--quiet", "--python", sys.executable], cwd=folder, check=True)
    registry.asked.clear()
    return folder


UV = [sys.executable, "-m", "uv"]
BY_UV = pytest.mark.parametrize("setup", ["uv"], indirect=True)  # what does not depend on pip, which is slow to start


@pytest.fixture(params=["pip", "uv"])
def setup(request, clone, registry, tmp_path):
    """Run `make setup` without an NVIDIA driver; pip or uv may only use this machine."""
    put(tmp_path / "uv", f'#!/bin/sh\nexec {" ".join(UV)} "$@"\n')
    by = "" if request.param == "pip" else str(tmp_path / "uv")

    def run(*words: str, index: str = f"{registry.address}/cpu") -> str:
        done = make(clone, "setup", f"python={sys.executable}", f"torch_index={index}", f"uv={by}", "nvidia=", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def installed(clone: Path) -> list[str]:
    """What is in the environment, but for pip and what it brought."""
    (site,) = (clone / ".venv/lib").glob("*/site-packages")
    found = [path.name.removesuffix(".dist-info").replace("-", "==") for path in site.glob("*.dist-info")]
    return sorted(pin.replace("_", "-") for pin in found if not pin.startswith(("pip==", "setuptools==", "wheel==")))


FOR_THE_CPU = sorted(["torch==2.14.1+cpu", "torchvision==0.29.1+cpu", "tiny==1.0", "adapt-clip==0.2.0"])
WITH_CUDA = sorted([*PINS, "adapt-clip==0.2.0"])


def test_build_for_the_cpu_is_installed_without_a_driver_and_the_other_when_it_is_asked_for(setup, clone, registry):
    setup()
    assert installed(clone) == FOR_THE_CPU
    wheels = {path for path in registry.asked if path.endswith(".whl")}
    assert wheels and all(path.startswith("/cpu/torch") or path.startswith("/pypi/tiny") for path in wheels)
    registry.asked.clear()
    assert setup() == "" and setup("torch=cpu") == "" and not registry.asked, "a second set-up does nothing"
    assert setup("torch=cuda").startswith("Making .venv anew with PyPI's build of PyTorch\n")
    assert installed(clone) == WITH_CUDA
    assert setup() == "", "what is there stays"


def test_pypis_build_is_installed_where_the_index_does_not_answer(setup, clone):
    said = setup(index=NOWHERE)
    assert said.startswith(f"{NOWHERE} does not answer ([Errno 111] Connection refused): taking PyPI's build")
    assert installed(clone) == WITH_CUDA


@BY_UV
def test_build_for_the_cpu_takes_the_place_of_pypis(setup, clone):
    setup("torch=cuda")
    assert setup("torch=cpu").startswith("Making .venv anew with PyTorch's build for the CPU\n")
    assert installed(clone) == FOR_THE_CPU


@BY_UV
def test_pypis_build_is_installed_where_the_index_has_other_versions(setup, clone, registry, tmp_path):
    publish(tmp_path / "registry/old", "torch==2.13.0+cpu")
    assert f"{registry.address}/old does not give torch and torchvision" in setup(index=f"{registry.address}/old")
    assert installed(clone) == WITH_CUDA


@BY_UV
def test_index_is_not_asked_for_what_is_there(setup, clone):
    setup()
    with (clone / "requirements-dev.lock").open("w", encoding="utf-8") as file:
        file.write("# changed\n")
    assert "does not answer" not in setup(index=NOWHERE)
    assert installed(clone) == FOR_THE_CPU
