"""Work done ahead, in threads: what the caller will ask for next is made while a GPU is at what it has."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
T = TypeVar("T")

THREADS = min(8, os.cpu_count() or 1)  # that cut the views a GPU is about to see


class Reader(Generic[T]):
    """`read(part)` of consecutive slices, the next of which is read in a thread while the caller is at one."""

    def __init__(self, read: Callable[[slice], T], length: int):
        self.read, self.length, self.pool = read, length, ThreadPoolExecutor(1)
        self.next: tuple[slice, Future[T]] | None = None

    def __call__(self, part: slice) -> T:
        """What a slice holds; one that does not follow on the last is read now."""
        found = self.next[1].result() if self.next and self.next[0] == part else self.read(part)
        following = slice(part.stop, min(2 * part.stop - part.start, self.length))
        self.next = None
        if following.start < following.stop:
            self.next = following, self.pool.submit(self.read, following)
        return found


def run(work: Callable[[Item], T], items: Iterable[Item], threads: int) -> Generator[T, None, None]:
    """`work(item)` for every item, in order; that of the next `threads` items is under way meanwhile.

    threads: 0 to do each when it is asked for
    """
    if not threads:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
