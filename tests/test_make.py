"""What `make setup` installs and by what, what it refuses, and what it mends where a checkout is not as it was."""

import os
import shutil
import subprocess
import sys
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
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "uv.lock"):
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


@pytest.fixture
def tools(tmp_path, monkeypatch) -> Path:
    """A PATH of the system's tools and a Python that writes down what it is called for and makes no environment."""
    log = tmp_path / "log"
    put(
        tmp_path / "bin/python3.11",
        f"""#!/bin/sh
case "$1" in -c) exec {sys.executable} "$@";; esac
echo "python3.11 $*" >> {log}
if [ "$2" = venv ]; then mkdir -p .venv/bin && cp "$0" .venv/bin/python; fi
""",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path


def put_uv(tools: Path) -> None:
    put(tools / "bin/uv", f'#!/bin/sh\necho "uv $*" >> {tools}/log\nmkdir -p "$UV_PROJECT_ENVIRONMENT/bin"\n')


def calls(tools: Path) -> list[str]:
    """What was called since the last look."""
    log = tools / "log"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


BY_PIP = [
    "python3.11 -m venv .venv",
    "python3.11 -m pip --disable-pip-version-check install -r requirements.lock",
    "python3.11 -m pip --disable-pip-version-check install --no-deps --no-build-isolation -e .",
]
BY_UV = ["uv sync --frozen --all-extras"]


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
    assert calls(tools) == BY_UV


def test_pip_installs_where_uv_is_not_wanted(clone, tools):
    put_uv(tools)
    assert make(clone, "setup", "uv=").returncode == 0
    assert calls(tools) == BY_PIP


def test_failed_installation_is_tried_again(clone, tools):
    put(tools / "bin/uv", "#!/bin/sh\nexit 1\n")
    assert make(clone, "setup").returncode
    put_uv(tools)
    assert make(clone, "setup").returncode == 0
    assert calls(tools) == BY_UV


def test_second_setup_does_nothing(clone, tools):
    put_uv(tools)
    make(clone, "setup")
    calls(tools)
    done = make(clone, "setup")
    assert (done.returncode, done.stdout, done.stderr, calls(tools)) == (0, "", "", [])


@pytest.mark.parametrize("name", ["uv.lock", "requirements.lock"])
def test_changed_lock_is_installed(name: str, clone, tools):
    put_uv(tools)
    make(clone, "setup")
    calls(tools)
    with (clone / name).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    make(clone, "setup")
    assert calls(tools) == BY_UV


def test_changed_settings_of_tools_install_nothing(clone, tools):
    put_uv(tools)
    make(clone, "setup")
    calls(tools)
    with (clone / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("[tool.other]\nchanged = true\n")
    make(clone, "setup")
    assert not calls(tools)


def test_python_that_is_too_old_is_refused(clone, tools):
    for name in ("python3.11", "python3"):
        put(tools / "bin" / name, "#!/bin/sh\nexit 1\n")
    done = make(clone, "setup", "uv=")
    assert done.returncode and "Python 3.11 is needed, from 3.11.4 on" in done.stderr
    assert not (clone / ".venv").exists()


ENVIRONMENTS = {
    "pip": [sys.executable, "-m", "venv", "--without-pip"],
    "uv": [sys.executable, "-m", "uv", "venv", "--offline", "--quiet", "--python", sys.executable],
}


@pytest.fixture(params=ENVIRONMENTS)
def moved(request, unpacked, clone) -> Path:
    """A checkout that was moved, with an environment as `make` leaves it and a script of a package in it."""
    subprocess.run([*ENVIRONMENTS[request.param], f"{clone}/.venv"], cwd=clone, check=True)
    (site,) = (clone / ".venv/lib").glob("*/site-packages")
    (site / "_adapt_clip.pth").write_text(str(clone), encoding="utf-8")
    (site / "adapt_clip-0.2.0.dist-info").mkdir()
    (site / "adapt_clip-0.2.0.dist-info/direct_url.json").write_text(f'{{"url":"file://{clone}"}}', encoding="utf-8")
    put(clone / ".venv/bin/tool", f"#!{clone}/.venv/bin/python\nimport sys\nprint(sys.path[-1])\n")
    with (clone / "Makefile").open("a", encoding="utf-8") as file:
        file.write("\nwanted:\n\t@echo $(WANTED)\n")
    (clone / ".venv/.installed").write_text(f"{make(clone, 'wanted').stdout}{clone}\n", encoding="utf-8")
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
