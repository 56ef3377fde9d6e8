"""A small fitted model, its page in a process of its own, and a headless Chromium.

Tests are skipped if one of them is missing.
"""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import adapt

ROOT = Path(__file__).parents[2]
QUICK = {"optimizer": {"epochs": 4}, "prune": {"warmup": 1, "every": 1, "count": 6}}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "adapt", "demo", *arguments]


@dataclass
class Served:
    """A page that is served."""

    url: str
    process: subprocess.Popen
    temporary: Path  # where the server has its temporary files
    proxy: socket.socket  # to which its libraries would turn for anything outside


@pytest.fixture(scope="session")
def model() -> adapt.Model:
    data = adapt.load_dataset("digits").few_shot(shots=4, seed=1)
    return adapt.fit("adapt", adapt.load_clip("pocket"), data, progress=False, **QUICK)


@pytest.fixture(scope="session")
def run_folder(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "run"
    model.save(folder)
    return folder


@pytest.fixture(scope="session")
def serve(run_folder, tmp_path_factory) -> Callable[[], Served]:
    """A function that starts `adapt demo` and waits until it prints its address."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("the extra `demo` is not installed")

    def start() -> Served:
        temporary = tmp_path_factory.mktemp("temporary")
        proxy = socket.create_server(("127.0.0.1", 0))
        proxy.setblocking(False)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        outside = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), address)
        environment = {**os.environ, **outside, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command(str(run_folder), "--port", "0"), cwd=ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout
        said = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert said, process.communicate()
        return Served(said[0], process, temporary, proxy)

    return start


@pytest.fixture(scope="session")
def served(serve) -> Iterator[Served]:
    """One page for many tests."""
    found = serve()
    yield found
    found.process.send_signal(signal.SIGINT)
    found.process.communicate(timeout=20)
    found.proxy.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable]:
    """A function that opens an address in a new browser context.

    With `policy=False` the page ignores its content security policy.
    """
    opened = []

    def opening(url: str, *listeners: Callable, policy: bool = True):
        opened.append(browser.new_context(bypass_csp=not policy))
        page = opened[-1].new_page()
        page.set_default_timeout(20_000)
        for listener in listeners:
            page.on("request", listener)
        page.goto(url)
        return page

    yield opening
    for context in opened:
        context.close()


@pytest.fixture(scope="session")
def digits(model, tmp_path_factory) -> dict[str, Path]:
    """A picture of each of three digits that the model knows, by its class."""
    test, folder = adapt.load_dataset("digits").test, tmp_path_factory.mktemp("pictures")
    found: dict[str, Path] = {}
    for index, label in enumerate(model.predict(test[:60])):
        if label == model.classes[test[index].label] and label not in found:
            found[label] = folder / f"{index}.png"
            test.image(index).save(found[label])
    return dict(list(found.items())[:3])
