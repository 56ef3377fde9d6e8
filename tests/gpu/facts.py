"""Facts: functions that say whether something is true on the pretended GPU."""

import json
from collections.abc import Callable, Iterable

from tests.gpu import pretend


def raises(error: type[Exception], work: Callable[[], object]) -> bool:
    """Whether some work raises that."""
    try:
        work()
    except error:
        return True
    return False


def tell(facts: Iterable[Callable[[], bool]]) -> None:
    """Print a line of JSON with the truth of every fact, or what it raised."""
    found: dict[str, bool | str] = {}
    with pretend.Pretend():
        for fact in facts:
            try:
                found[fact.__name__] = fact()
            except Exception as error:
                found[fact.__name__] = f"{type(error).__name__}: {error}"
    print(json.dumps(found))
