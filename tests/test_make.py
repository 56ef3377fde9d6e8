"""`make setup`: what it installs and how, what it refuses, and what it repairs."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.project import ROOT


def make(folder: Path, *targets: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`make` as a user calls it, though `make test` may be what runs this."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *targets], cwd=folder, capture_output=True, encoding="utf-8", env={**own, **variables}
    )


@pytest.fixture
def unpacked(tmp_path) -> Path:
    """What a ZIP of the repository holds, as far as `make setup` goes."""
    folder = tmp_path / "adapt"
    folder.mkdir()
    for name in ("Makefile", "setup.sh", "pyproject.toml", "requirements.lock", "requirements-dev.lock", "uv.lock"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.fixture
def clone(unpacked) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=unpacked, check=True)
    return unpacked


def put(script: Path, text: str) -> None:
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(text, encoding="utf-8")
    script.chmod(0o755)


def put_python(tools: Path, name: str = "python3.11", version: str = "3.11.7") -> None:
    """Make a suitable Python that logs its calls; environments made with it use it."""
    put(
        tools / "bin" / name,
        f"""#!/bin/sh
case "$1$3" in
-V) echo Python {version}; exit ;;
-c) echo {tools}/bin/{name}; exit ;;
-c*) exec {sys.executable} "$@" ;;
esac
echo "{name} $*" >> {tools}/log
if [ "$2" = venv ]; then mkdir -p .venv/bin && cp "$0" .venv/bin/python; fi
""",
    )


def put_uv(tools: Path) -> None:
    """The same of uv, which has Python 3.12 to bring."""
    put(
        tools / "bin/uv",
        f"""#!/bin/sh
echo "uv $*" >> {tools}/log
case "$1 $2" in
"python find") echo {tools}/bin/python-of-uv ;;
"venv "*) mkdir -p .venv/bin && cp "$5" .venv/bin/python ;;
esac
""",
    )


@pytest.fixture
def tools(tmp_path, monkeypatch) -> Path:
    """A PATH of the system's tools, a Python and a driver of NVIDIA."""
    put_python(tmp_path)
    put(tmp_path / "bin/nvidia-smi", "#!/bin/sh\n")
    put(tmp_path / "bin/uname", "#!/bin/sh\necho Linux x86_64\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path


def calls(tools: Path) -> list[str]:
    """What was called since the last look."""
    log = tools / "log"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


PIP = "python3.11 -m pip --disable-pip-version-check install"
BY_PIP = ["python3.11 -m venv .venv", f"{PIP} -r requirements.lock", f"{PIP} --no-deps -e ."]
SYNC = "uv sync --frozen --all-extras"


def by_uv(tools: Path, name: str = "python3.11") -> list[str]:
    return [f"uv venv --quiet --clear --python {tools}/bin/{name} .venv", f"{SYNC} --no-extra docs --no-dev"]


def test_folder_without_git_is_refused_before_anything_is_installed(unpacked):
    done = make(unpacked, "setup", GIT_CEILING_DIRECTORIES=str(unpacked.parent))
    assert done.returncode and "no git repository" in done.stderr and "git init && git add" in done.stderr
    assert not (unpacked / ".venv").exists()


@pytest.mark.skipif(shutil.which("uv", path="/usr/bin:/bin") is not None, reason="uv is among the system's tools")
def test_pip_installs_where_there_is_no_uv(clone, tools):
    assert make(clone, "setup").returncode == 0
    assert calls(tools) == BY_PIP


def test_uv_installs_where_it_is_on_the_path(clone, tools):
    put_uv(tools)
    assert make(clone, "setup").returncode == 0
    assert calls(tools) == by_uv(tools)


def test_pip_installs_where_uv_is_not_wanted(clone, tools):
    put_uv(tools)
    assert make(clone, "setup", "uv=").returncode == 0
    assert calls(tools) == BY_PIP


def test_failed_installation_is_tried_again(clone, tools):
    put(tools / "bin/uv", "#!/bin/sh\nexit 1\n")
    assert make(clone, "setup").returncode
    put_uv(tools)
    assert make(clone, "setup").returncode == 0
    assert calls(tools) == by_uv(tools)


@pytest.mark.parametrize("step", ["venv", "requirements.lock", "-e"])
def test_failure_of_pip_is_no_setup(step: str, clone, tools):
    python = (tools / "bin/python3.11").read_text(encoding="utf-8")
    put(tools / "bin/python3.11", f'{python}\ncase "$*" in *" {step} "*|*" {step}") exit 1 ;; esac\n')
    assert make(clone, "setup", "uv=").returncode
    put_python(tools)
    (clone / ".venv/bin/python").write_bytes((tools / "bin/python3.11").read_bytes())
    calls(tools)
    assert make(clone, "setup", "uv=").returncode == 0
    assert calls(tools) == BY_PIP


def test_second_setup_does_nothing(clone, tools):
    put_uv(tools)
    make(clone, "setup")
    calls(tools)
    done = make(clone, "setup")
    assert (done.returncode, done.stdout, done.stderr, calls(tools)) == (0, "", "", [])


@pytest.mark.parametrize("name", ["uv.lock", "requirements.lock", "requirements-dev.lock"])
def test_changed_lock_is_installed(name: str, clone, tools):
    put_uv(tools)
    make(clone, "setup")
    calls(tools)
    with (clone / name).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    make(clone, "setup")
    assert calls(tools) == [f"{SYNC} --no-extra docs --no-dev"]


def test_changed_settings_of_tools_install_nothing(clone, tools):
    put_uv(tools)
    make(clone, "setup")
    calls(tools)
    with (clone / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("[tool.other]\nchanged = true\n")
    make(clone, "setup")
    assert not calls(tools)


def test_developers_tools_are_added(clone, tools):
    put_uv(tools)
    make(clone, "setup")
    calls(tools)
    make(clone, "dev")
    assert calls(tools) == [SYNC]


def test_developers_tools_stay(clone, tools):
    put_uv(tools)
    make(clone, "dev")
    calls(tools)
    assert make(clone, "setup").stdout == ""
    with (clone / "uv.lock").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    make(clone, "setup")
    assert calls(tools) == [SYNC]


def test_targets_that_need_the_developers_tools_ask_for_them():
    rules = dict(re.findall(r"^([a-z]+): (setup|dev)\b", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {name for name, first in rules.items() if first == "dev"} == {
        "lock",
        "check",
        "docs",
        "test",
        "faults",
        "bench",
        "page",
    }


# ---- which Python


def fitting() -> list[str]:
    """The versions of Python that `make setup` takes."""
    (versions,) = re.findall(r'^VERSIONS="(.*?)"', (ROOT / "setup.sh").read_text(encoding="utf-8"), re.MULTILINE)
    return versions.split()


def test_pythons_that_fit_are_the_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    last = int(fitting()[-1].split(".")[1])
    assert project["requires-python"] == f">={fitting()[0]},<3.{last + 1}"
    said = [line.rpartition(" :: ")[2] for line in project["classifiers"] if " :: Python :: 3." in line]
    assert said == fitting() and last - 10 == len(fitting())


@pytest.mark.parametrize("name", ["python3.12", "python3.13", "python3.14", "python3"])
def test_first_python_that_runs_is_taken(name: str, clone, tools):
    for version in ["3", *fitting()]:
        put(tools / "bin" / f"python{version}", "#!/bin/sh\nexit 1\n")
    put_python(tools, name)
    make(clone, "setup", "uv=")
    assert calls(tools)[0] == f"{name} -m venv .venv"


@pytest.fixture
def no_python(tools) -> Path:
    for version in ["3", *fitting()]:
        put(tools / "bin" / f"python{version}", "#!/bin/sh\nexit 1\n")
    return tools


def test_no_python_is_refused(clone, no_python):
    done = make(clone, "setup", "uv=")
    assert done.returncode and "No Python from 3.11 to 3.14 with the module ensurepip" in done.stderr
    assert not (clone / ".venv").exists()


def test_uv_brings_a_python_where_there_is_none(clone, no_python):
    put_python(no_python, "python-of-uv")
    put_uv(no_python)
    assert make(clone, "setup").returncode == 0
    assert calls(no_python) == ["uv python install 3.11", "uv python find 3.11", *by_uv(no_python, "python-of-uv")]


@pytest.mark.parametrize("said", ["python3.13", "3.13", "{tools}/bin/python3.13"])
def test_python_is_taken_that_is_asked_for(said: str, clone, tools):
    put_python(tools, "python3.13", "3.13.0")
    make(clone, "setup", f"python={said.format(tools=tools)}", "uv=")
    assert calls(tools)[0] == "python3.13 -m venv .venv"


@pytest.mark.parametrize("said", ["3.10", "python3.12", "/nowhere/python"])
def test_python_that_does_not_run_or_fit_is_refused(said: str, clone, no_python):
    done = make(clone, "setup", f"python={said}", "uv=")
    assert done.returncode and done.stderr.startswith(f"python={said} is no Python from 3.11 to 3.14 ")
    assert not (clone / ".venv").exists()


def test_program_that_is_no_python_of_3_11_to_3_14_does_not_fit(clone, tools):
    put(
        tools / "bin/python3.11",
        f"#!/bin/sh\nexec {sys.executable} -c \"import sys; sys.version_info = (3, 10); exec('$2')\"\n",
    )
    assert make(clone, "setup", "python=python3.11", "uv=").returncode


def test_another_python_makes_the_environment_anew(clone, tools):
    put_uv(tools)
    put_python(tools, "python3.13", "3.13.0")
    make(clone, "dev")
    calls(tools)
    done = make(clone, "setup", "python=python3.13")
    assert done.stdout.startswith("Making .venv anew with Python 3.13.0\n")
    assert calls(tools) == [by_uv(tools, "python3.13")[0], SYNC]


def test_the_same_python_asked_for_again_does_nothing(clone, tools):
    put_uv(tools)
    make(clone, "setup")
    calls(tools)
    done = make(clone, "setup", "python=python3.11")
    assert (done.stdout, calls(tools)) == ("", [])


def test_environment_whose_python_is_gone_is_made_anew(clone, tools):
    put_uv(tools)
    make(clone, "setup")
    (clone / ".venv/bin/python").unlink()
    calls(tools)
    assert make(clone, "setup").stdout.startswith("Making .venv anew since its Python is gone\n")
    assert calls(tools) == by_uv(tools)


# ---- which build of PyTorch; tests/test_make_torch.py installs both

NOWHERE = "http://127.0.0.1:9/whl/cpu"  # nothing listens there


def test_cuda_is_taken_where_there_is_a_driver(clone, tools):
    assert "does not answer" not in make(clone, "setup", f"torch_index={NOWHERE}", "uv=").stdout
    assert calls(tools) == BY_PIP


def test_unknown_build_is_refused(clone, tools):
    done = make(clone, "setup", "torch=gpu")
    assert done.returncode and done.stderr.startswith("torch=gpu is none of auto, cpu and cuda.\n")


@pytest.mark.parametrize("machine", ["Linux aarch64", "Darwin arm64"])
def test_elsewhere_there_is_one_build(machine: str, clone, tools):
    put(tools / "bin/uname", f"#!/bin/sh\necho {machine}\n")
    assert "does not answer" not in make(clone, "setup", "torch=cpu", f"torch_index={NOWHERE}", "uv=").stdout
    assert calls(tools) == BY_PIP


@pytest.mark.parametrize("chosen", [["nvidia="], ["torch=cpu"]])
def test_pypis_build_is_taken_where_the_index_does_not_answer(chosen: list[str], clone, tools):
    done = make(clone, "setup", *chosen, f"torch_index={NOWHERE}", "uv=")
    assert done.stdout.startswith(f"{NOWHERE} does not answer ([Errno 111] Connection refused): taking PyPI's build")
    assert calls(tools) == BY_PIP


def test_index_that_did_not_answer_is_not_asked_again(clone, tools):
    make(clone, "setup", "nvidia=", f"torch_index={NOWHERE}", "uv=")
    assert make(clone, "setup", "nvidia=", f"torch_index={NOWHERE}", "uv=").stdout == ""


def test_asked_for_again_it_changes_nothing(clone, tools):
    make(clone, "setup", "torch=cpu", f"torch_index={NOWHERE}", "uv=")
    calls(tools)
    assert "does not answer" in make(clone, "setup", "torch=cpu", f"torch_index={NOWHERE}", "uv=").stdout
    assert calls(tools) == []


# ---- a checkout that has moved

ENVIRONMENTS = {
    "pip": [sys.executable, "-m", "venv", "--without-pip"],
    "uv": [sys.executable, "-m", "uv", "venv", "--offline", "--quiet", "--python", sys.executable],
}


@pytest.fixture(params=ENVIRONMENTS)
def moved(request, clone, tools) -> Path:
    """A checkout that was moved, with an environment made by `make`.

    The environment has a script of a package.
    """
    make(clone, "setup", "uv=")
    stamp = (clone / ".venv/.installed").read_text(encoding="utf-8")
    shutil.rmtree(clone / ".venv")
    subprocess.run([*ENVIRONMENTS[request.param], f"{clone}/.venv"], cwd=clone, check=True)
    (site,) = (clone / ".venv/lib").glob("*/site-packages")
    (site / "_adapt_clip.pth").write_text(str(clone), encoding="utf-8")
    (site / "adapt_clip-0.2.0.dist-info").mkdir()
    (site / "adapt_clip-0.2.0.dist-info/direct_url.json").write_text(f'{{"url":"file://{clone}"}}', encoding="utf-8")
    put(clone / ".venv/bin/tool", f"#!{clone}/.venv/bin/python\nimport sys\nprint(sys.path[-1])\n")
    (clone / ".venv/.installed").write_text(stamp, encoding="utf-8")
    assert make(clone, "setup").stdout == ""
    return clone.rename(clone.with_name("elsewhere"))


def test_moved_checkout_has_its_path_written_anew(moved):
    done = make(moved, "setup")
    assert done.returncode == 0 and done.stdout == "This checkout has moved: writing its path into .venv\n"
    assert make(moved, "setup").stdout == "", "once"


def test_moved_checkouts_scripts_start_and_import_it(moved):
    make(moved, "setup")
    said = subprocess.run([moved / ".venv/bin/tool"], capture_output=True, encoding="utf-8", check=True).stdout
    assert said == f"{moved}\n"


def test_nothing_in_a_moved_checkout_names_the_old_place(moved):
    make(moved, "setup")
    files = [path for path in moved.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in files if os.fsencode(moved.with_name("adapt")) in path.read_bytes()]


def test_user_without_a_home_gets_one_inside(unpacked):
    with (unpacked / "Makefile").open("a", encoding="utf-8") as file:
        file.write('\nwho:\n\t@echo "$$LOGNAME $$HOME"\n')
    subprocess.run(["git", "init", "-q"], cwd=unpacked, check=True)
    name, home = make(unpacked, "who", HOME="/nowhere", LOGNAME="").stdout.split()
    assert name and home == f"{unpacked}/.scratch/home"
