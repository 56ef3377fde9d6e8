"""A fork server for stages: torch and open_clip are imported once per run of DVC.

Importing them takes seconds. The first stage of a run that has imported them forks a server, which listens at
.scratch/warm.sock. While it has no requests, the server imports further modules that stages will need; it does nothing
else. Every later stage connects to it and sends its arguments and its standard streams. The server forks a worker, in
which everything is imported already; the stage's own process waits for the worker and exits with the same status.

A stage runs in its own process if there is no server, if the server has other code or another environment, if DVC has
not started the stage, or if ADAPT_WARM is `no`. The server ends after IDLE seconds without a request.
"""

import hashlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

SOCKET = Path(".scratch/warm.sock")  # relative, since the kernel limits the length of such paths
KIND = socket.AF_UNIX, socket.SOCK_SEQPACKET  # keeps the boundaries of messages
IDLE = 20.0  # seconds
STREAMS = 3  # standard input, output and error
CODE = ("adapt", "stages")

_client: socket.socket | None = None  # in a worker: the connection to the stage's process, which waits


def state() -> str:
    """Return a hash of what a process has loaded at its start.

    It covers the interpreter, the code and the environment.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    files = [path.stat() for folder in CODE for path in sorted(Path(folder).rglob("*.py"))]
    code = [(file.st_mtime_ns, file.st_ino) for file in files]
    parts = [sys.executable, str(Path.cwd()), sorted(environment.items()), code]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


STARTED = state()  # computed before anything else is imported


def wanted() -> bool:
    """Return whether DVC has started this process and the server may be used."""
    return "DVC_STAGE" in os.environ and os.environ.get("ADAPT_WARM") != "no"


# --- the stage's process ---------------------------------------------------------------------------------------------


def run_in_worker(module: str, arguments: list[str]) -> None:
    """Have a worker run the module, and exit with its status.

    Return if there is no server to do so.
    """
    request = {"state": STARTED, "module": module, "arguments": arguments, "environment": dict(os.environ)}
    with forward_signals() as signals:
        try:
            server = socket.socket(*KIND)
            server.connect(str(SOCKET))
            socket.send_fds(server, [json.dumps(request).encode()], range(STREAMS))
            worker = int(server.recv(100))
        except (OSError, ValueError):  # no server, or one in another state, or a system without such sockets
            return
        os._exit(wait(server, worker, signals))


@contextmanager
def forward_signals() -> Iterator[list[int]]:
    """Collect the signals that arrive within the block, for the worker."""
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait(server: socket.socket, worker: int, signals: list[int]) -> int:
    """Wait for the worker and return its exit status.

    If DVC is gone, return at once: the worker notices that this process is gone.
    """
    dvc = os.getppid()
    while os.getppid() == dvc:
        while signals:
            with suppress(ProcessLookupError):
                os.kill(worker, signals.pop())
        if select.select([server], [], [], 0.2)[0]:
            said = server.recv(100)
            return int(said) if said else 128 + signal.SIGKILL
    return 128 + signal.SIGTERM


# --- the server ------------------------------------------------------------------------------------------------------


def start(later: Iterable[str] = ()) -> None:
    """Start a server with everything that this process has imported.

    Do without one if none can be started.

    later: modules that the server imports as well, while it has no requests
    """
    if _client is not None or "torch" not in sys.modules:
        return
    mine = SOCKET.with_suffix(f".{os.getpid()}")
    try:
        listener = socket.socket(*KIND)
        mine.parent.mkdir(exist_ok=True)
        listener.bind(str(mine))
        mine.chmod(0o600)
        listener.listen()
        mine.replace(SOCKET)
    except OSError:
        return
    child = os.fork()
    if child:
        listener.close()
        os.waitpid(child, 0)
        return
    if os.fork():  # a second fork, so that no process has to wait for the server
        os._exit(0)
    detach(listener.fileno())
    serve(listener, list(later))


def detach(keep: int) -> None:
    """Leave the terminal and close all descriptors but one."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(STREAMS):
        os.dup2(nothing, number)
    for number in sorted(int(path.name) for path in Path("/dev/fd").iterdir())[STREAMS:]:
        with suppress(OSError):  # the descriptor of /dev/fd itself
            if number != keep:
                os.close(number)


def serve(listener: socket.socket, later: list[str]) -> NoReturn:
    """Fork a worker for every request."""
    listener.settimeout(1.0)
    workers: set[int] = set()
    last = time.monotonic()
    while time.monotonic() - last < IDLE:
        workers = {worker for worker in workers if os.waitpid(worker, os.WNOHANG)[0] == 0}
        if workers:
            last = time.monotonic()
        try:
            client, _ = listener.accept()
        except TimeoutError:
            while later:
                with suppress(Exception):  # a stage that needs the module will report the error
                    importlib.import_module(later.pop())
            continue
        last = time.monotonic()
        worker = os.fork()
        if worker == 0:
            listener.close()
            work(client)
        workers.add(worker)
        client.close()
    os._exit(0)  # the socket file stays: nobody answers on it, and the next server replaces it


# --- the worker ------------------------------------------------------------------------------------------------------


def work(client: socket.socket) -> NoReturn:
    """Run what a stage's process requests, on its streams and in its environment."""
    global _client
    request, streams, _, _ = socket.recv_fds(client, 1 << 20, STREAMS)
    asked = json.loads(request or b"{}")
    if asked.get("state") != STARTED or len(streams) != STREAMS:
        os._exit(0)
    client.send(str(os.getpid()).encode())
    _client = client
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv[1:] = asked["arguments"]
    status = status_of(lambda: runpy.run_module(asked["module"], run_name="__main__", alter_sys=True))
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the reader may be gone
            stream.flush()
    with suppress(OSError):
        client.send(str(status).encode())
    os._exit(status)


def status_of(run: Callable[[], Any]) -> int:
    """Run a function and return the interpreter's exit status, printing any error."""
    try:
        run()
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)  # noqa: T201
            return 1
        return stop.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def client_is_waiting() -> bool:
    """Return, in a worker, whether the stage's process still waits for it."""
    return _client is not None and not select.select([_client], [], [], 0)[0]


def is_worker() -> bool:
    """Return whether this process works for a stage's process."""
    return _client is not None
