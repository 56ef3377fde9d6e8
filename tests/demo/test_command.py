"""The command `adapt demo`: its refusals, its end and the files it leaves."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import requests

from tests.demo.conftest import ROOT, command


def demo(*arguments: str, **settings) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), cwd=ROOT, text=True, capture_output=True, **settings)


def upload(url: str, path: Path) -> str:
    """Send a file as the page does; the path that it has on the server."""
    with path.open("rb") as file:
        answer = requests.post(f"{url}/gradio_api/upload", files={"files": (path.name, file, "image/png")}, timeout=20)
    answer.raise_for_status()
    return answer.json()[0]


def test_port_in_use_is_one_sentence(tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = demo(str(tmp_path), "--port", str(port))
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == (
        f"error: port {port} of 127.0.0.1 is in use; give another, such as --port {port + 1}, or --port 0 for any free "
        "one\n"
    )


def test_missing_gradio_is_one_sentence(tmp_path):
    code = "import sys; sys.modules['gradio'] = None; from adapt.__main__ import cli; cli()"
    done = subprocess.run([sys.executable, "-c", code, "demo", str(tmp_path)], cwd=ROOT, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (1, "error: gradio is not installed: pip install 'adapt-clip[demo]'\n")


@pytest.fixture(scope="module")
def refused(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    """The output for a folder that does not exist, served to the whole network."""
    folder = tmp_path_factory.mktemp("refused") / "none"
    return folder, demo(str(folder), "--port", "0", "--host", "0.0.0.0")


def test_folder_without_a_run_is_refused(refused):
    folder, done = refused
    assert done.returncode == 1 and done.stderr.endswith(f"error: adapt.load: there is no folder {folder}\n")


def test_other_interfaces_are_warned_of(refused):
    _, done = refused
    assert done.stderr.startswith(
        "warning: --host 0.0.0.0: anyone who can reach this machine over the network can open"
    )


def test_address_of_another_machine_is_refused(tmp_path):
    done = demo(str(tmp_path), "--host", "192.0.2.1")
    assert done.returncode == 1 and "this machine does not have this address" in done.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_number_that_is_no_port_is_wrong_usage(port, tmp_path):
    done = demo(str(tmp_path), "--port", port)
    assert done.returncode == 2 and f"invalid port value: '{port}'" in done.stderr


def test_help_fits_80_columns(tmp_path):
    done = demo("--help", env={**os.environ, "COLUMNS": "80"})
    assert done.returncode == 0 and max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.usefixtures("listening")
def test_end_takes_the_pictures_along_and_is_the_signals_status(serve, digits):
    served = serve()
    path = upload(served.url, next(iter(digits.values())))
    assert Path(path).is_file() and Path(path).is_relative_to(served.temporary)
    served.process.send_signal(signal.SIGINT)
    said, complaints = served.process.communicate(timeout=20)
    assert (served.process.returncode, complaints) == (128 + signal.SIGINT, "")
    assert said == "stopped; the pictures are removed\n" and not list(served.temporary.iterdir())
    served.proxy.close()
