"""Run a stage: bind its arguments and params, and report user errors.

Each user error is one sentence.
"""

import errno
import gc
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapt import methods
from adapt.errors import UserError, nearest
from adapt.pipeline import params, stage_params
from adapt.runtime import fork_server, locks, signals

if TYPE_CHECKING:
    from adapt.runtime.checkpoint import Checkpoint

PARAMS = Path("params.yaml")
LOCKS = Path(".scratch/locks")
ITEMS = ("dataset", "method")  # arguments of stages
SLOW_IMPORTS = ("dvclive",)  # modules that a stage imports late; the fork server imports them early
WHOLE = "settings"  # the argument that receives all params


def run(main: Callable[..., None]) -> None:
    """Call a stage's main with the arguments in its signature.

    They are `key=value` arguments and entries of params.yaml. The whole of params.yaml is checked before any work.
    """
    gc.freeze()  # keep the imports' objects out of garbage collection
    gc.enable()
    if fork_server.wanted():
        fork_server.start(SLOW_IMPORTS)
    if "DVC_STAGE" in os.environ:  # only under DVC does another process wait for the results
        signals.stop_with(fork_server.client_is_waiting if fork_server.is_worker() else signals.parent_is(os.getppid()))
    exit_on_error(lambda: run_exclusive(main, sys.argv[1:]))


def run_exclusive(main: Callable[..., None], arguments: list[str]) -> None:
    """Bind the arguments and run, while holding a lock.

    Two processes at one item of a stage would write into each other's files.
    """
    bound = bind_arguments(main, arguments)
    items = "-".join(bound[name] for name in ITEMS if isinstance(bound.get(name), str))
    name = "@".join(filter(None, (Path(inspect.getfile(main)).stem, items)))
    with locks.exclusive(lock(name), name):
        main(**bound)


def lock(name: str) -> Path:
    """Return the lock file of a stage and its item, such as `train@digits-adapt`."""
    return LOCKS / name


def exit_on_error(work: Callable[[], None]) -> None:
    """Do some work, exiting on errors.

    The exit status is 1, with one message, for an error that the user can mend, and 128 + n after signal n.
    """
    signals.install()
    try:
        work()
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # `… | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG):
            raise
        sys.exit(
            f"error: cannot write {error.filename or 'the results'}: {error.strerror}; "
            "free space or make it writable, then run again"
        )
    except signals.Interrupted as stop:
        name = signal.Signals(stop.number).name
        print(f"stopped by {name}: run the same command again to resume from the saved state", file=sys.stderr)  # noqa: T201
        raise


def bind_arguments(main: Callable[..., None], arguments: list[str]) -> dict[str, Any]:
    """Return the keyword arguments of main."""
    given: dict[str, Any] = {key: value for key, _, value in (argument.partition("=") for argument in arguments)}
    wanted = inspect.signature(main).parameters
    if list(wanted) == ["overrides"]:  # a command whose arguments change params.yaml
        return {"overrides": arguments}
    settings = params.load(PARAMS)
    sections = [name for name in wanted if name in params.Params.model_fields and name not in ITEMS]
    expected = sorted(set(wanted) - set(sections) - {WHOLE})
    if sorted(given) != expected:
        raise UserError(f"this stage takes {' '.join(f'{name}=…' for name in expected)}, got {' '.join(arguments)!r}")
    dataset, method = (given.get(name) for name in ITEMS)
    if dataset is not None and (why := settings.data.unknown(dataset)):
        raise UserError(f"dataset={dataset}: {why}")
    if method is not None and method not in methods.names():
        raise UserError(f"method={method}: unknown method; {nearest(method, methods.names())}")
    if stage := os.environ.get("DVC_STAGE"):
        stage_params.check(stage.partition("@")[0], settings)
    whole = {WHOLE: settings} if WHOLE in wanted else {}
    return given | whole | {name: getattr(settings, name) for name in sections}


def warn_stale_checkpoints(title: str, stores: "Iterable[Checkpoint]") -> None:
    """Log each remark about the checkpoints of a stage's seeds once."""
    for remark in dict.fromkeys(remark for store in stores for remark in store.remarks()):
        log(f"{title}: {remark}")


def log(message: str) -> None:
    """Print a progress line.

    Characters that the terminal's encoding lacks are escaped by their numbers.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(message.encode(encoding, "backslashreplace").decode(encoding), flush=True)  # noqa: T201
