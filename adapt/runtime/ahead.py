"""Prefetching in threads, while the GPU works on the current item."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
T = TypeVar("T")

THREADS = min(8, os.cpu_count() or 1)  # threads that cut the next views for a GPU


class Reader(Generic[T]):
    """Calls `read(part)` for consecutive slices, prefetching the next one.

    The next slice is read in a thread while the caller works on the current one.
    """

    def __init__(self, read: Callable[[slice], T], length: int):
        self.read, self.length, self.pool = read, length, ThreadPoolExecutor(1)
        self.next: tuple[slice, Future[T]] | None = None

    def __call__(self, part: slice) -> T:
        """Return the result for a slice.

        A slice that does not follow the last one is read now.
        """
        found = self.next[1].result() if self.next and self.next[0] == part else self.read(part)
        following = slice(part.stop, min(2 * part.stop - part.start, self.length))
        self.next = None
        if following.start < following.stop:
            self.next = following, self.pool.submit(self.read, following)
        return found


def run(work: Callable[[Item], T], items: Iterable[Item], threads: int) -> Generator[T, None, None]:
    """Yield `work(item)` for every item, in order, working ahead in threads.

    threads: how many items to work ahead; 0 to do each when it is asked for
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
