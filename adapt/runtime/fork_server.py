"""Stages that start warm: importing torch and open_clip takes seconds, so a run of DVC does it once.

The first stage of a run that has imported them forks a server, which waits at .scratch/warm.sock. While nobody asks it
imports what stages need on the way; it does nothing else. Every later stage finds it and sends its arguments and its
standard streams; the server forks a worker that has all imported already; the stage's own process waits and exits as
the worker does. A stage starts by itself, cold, where there is no server, or one with other code or another
environment, where DVC has not started it, and where ADAPT_WARM is `no`. The server ends when nobody has asked for IDLE
seconds.
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

SOCKET = Path(".scratch/warm.sock")  # relative, since the kernel takes no long ones
KIND = socket.AF_UNIX, socket.SOCK_SEQPACKET  # messages, whole
IDLE = 20.0  # seconds
STREAMS = 3  # standard input, output and error
CODE = ("adapt", "stages")

_client: socket.socket | None = None  # of a worker: the stage's process, which waits for it


def state() -> str:
    """A name for all that a process has in it once it has started: the interpreter, the code, the environment."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    files = [path.stat() for folder in CODE for path in sorted(Path(folder).rglob("*.py"))]
    code = [(file.st_mtime_ns, file.st_ino) for file in files]
    parts = [sys.executable, str(Path.cwd()), sorted(environment.items()), code]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


STARTED = state()  # now, before anything else is imported


def wanted() -> bool:
    """Whether DVC has started this process, and it may start others warm."""
    return "DVC_STAGE" in os.environ and os.environ.get("ADAPT_WARM") != "no"


# --- the stage's process ---------------------------------------------------------------------------------------------


def run_in_worker(module: str, arguments: list[str]) -> None:
    """Have a worker run the module and exit as it does; return where there is none."""
    request = {"state": STARTED, "module": module, "arguments": arguments, "environment": dict(os.environ)}
    with forward_signals() as signals:
        try:
            server = socket.socket(*KIND)
            server.connect(str(SOCKET))
            socket.send_fds(server, [json.dumps(request).encode()], range(STREAMS))
            worker = int(server.recv(100))
        except (OSError, ValueError):  # nobody is there, or not for us, or this system has no such sockets
            return
        os._exit(wait(server, worker, signals))


@contextmanager
def forward_signals() -> Iterator[list[int]]:
    """Signals that come meanwhile: they are the worker's business."""
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
    """The worker's exit status. Where DVC is gone this returns at once, and the worker notices that we are."""
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
    """Leave a server behind that has imported what this process has; where none can be, do without.

    later: modules that it imports as well, while nobody asks
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
    if os.fork():  # the server is nobody's child: nobody waits for it
        os._exit(0)
    detach(listener.fileno())
    serve(listener, list(later))


def detach(keep: int) -> None:
    """Leave the terminal and everything that is open, but for one descriptor."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(STREAMS):
        os.dup2(nothing, number)
    for number in sorted(int(path.name) for path in Path("/dev/fd").iterdir())[STREAMS:]:
        with suppress(OSError):  # the folder itself
            if number != keep:
                os.close(number)


def serve(listener: socket.socket, later: list[str]) -> NoReturn:
    """Fork a worker for everyone who asks."""
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
                with suppress(Exception):  # a stage that needs it says what is wrong
                    importlib.import_module(later.pop())
            continue
        last = time.monotonic()
        worker = os.fork()
        if worker == 0:
            listener.close()
            work(client)
        workers.add(worker)
        client.close()
    os._exit(0)  # what lies at SOCKET answers nobody now, and the next server replaces it


# --- the worker ------------------------------------------------------------------------------------------------------


def work(client: socket.socket) -> NoReturn:
    """Run what a stage's process asks for, in its place."""
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
        with suppress(OSError):  # who reads may be gone
            stream.flush()
    with suppress(OSError):
        client.send(str(status).encode())
    os._exit(status)


def status_of(run: Callable[[], Any]) -> int:
    """The exit status that an interpreter would end with, having said why."""
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
    """Of a worker: whether the stage's process still waits for it."""
    return _client is not None and not select.select([_client], [], [], 0)[0]


def is_worker() -> bool:
    """Whether this process does another's work."""
    return _client is not None
