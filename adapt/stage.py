"""How a stage runs: arguments and params in, the user's mistakes out as one sentence."""

import errno
import gc
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from adapt import params
from adapt.errors import UserError

PARAMS = Path("params.yaml")
T = TypeVar("T")


def run(main: Callable[..., None]) -> None:
    """Call a stage's main with what its signature names: `key=value` arguments and entries of params.yaml.

    The whole of params.yaml is checked before any work.
    """
    gc.freeze()  # what the imports have left stays
    gc.enable()
    guard(lambda: main(**bind(main, sys.argv[1:])))


def guard(work: Callable[[], None]) -> None:
    """Do some work. Exit status 1 and one message for what the user can mend."""
    try:
        work()
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # `… | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        sys.exit(
            f"error: cannot write {error.filename or 'the results'}: {error.strerror}; free or unlock it, run again"
        )
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def bind(main: Callable[..., None], arguments: list[str]) -> dict[str, Any]:
    """The keyword arguments of main."""
    given: dict[str, Any] = {key: value for key, _, value in (argument.partition("=") for argument in arguments)}
    wanted = inspect.signature(main).parameters
    if list(wanted) == ["overrides"]:  # a command that takes params rather than reading them
        return {"overrides": arguments}
    settings = params.load(PARAMS)
    sections = [name for name in wanted if name in params.Params.model_fields]
    expected = sorted(set(wanted) - set(sections))
    if sorted(given) != expected:
        raise UserError(f"this stage takes {' '.join(f'{name}=…' for name in expected)}, got {' '.join(arguments)!r}")
    return given | {name: getattr(settings, name) for name in sections}


def bar(title: str, position: int, unit: str) -> Callable[[Iterable[T]], Iterable[T]]:
    """A progress bar to put around what is iterated; side by side, each process takes a line."""
    interval = 0.5 if sys.stderr.isatty() else 10  # a log file takes a line now and then
    return partial(tqdm, desc=title, unit=unit, position=position, mininterval=interval, leave=False)


def say(message: str) -> None:
    """A progress line."""
    print(message, flush=True)  # noqa: T201
