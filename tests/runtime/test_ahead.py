"""Work done ahead: in order, started before it is needed, failing in its turn."""

import threading

import pytest

from adapt.runtime import ahead
from tests.runtime.test_workers import wait_for


@pytest.mark.parametrize("threads", [0, 1, 3, 20])
def test_results_come_in_order(threads):
    assert list(ahead.run(lambda item: item * 10, range(9), threads)) == [item * 10 for item in range(9)]


@pytest.mark.parametrize(("threads", "begun"), [(0, 1), (3, 4)])
def test_as_many_are_begun_ahead_as_there_are_threads(threads, begun):
    seen = []
    results = ahead.run(lambda item: seen.append(item) or item, range(9), threads)
    assert next(results) == 0
    wait_for(lambda: len(seen) >= begun)
    results.close()
    assert len(seen) == begun


def test_a_failure_comes_in_its_turn():
    results = ahead.run(lambda item: 1 // (item - 2), range(9), 3)
    assert [next(results), next(results)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def read(part: slice) -> tuple[list[int], str]:
    return list(range(10))[part], threading.current_thread().name


def test_reader_reads_the_next_slice_in_another_thread():
    reader = ahead.Reader(read, 10)
    parts = [reader(slice(start, min(start + 4, 10))) for start in (0, 4, 8)]
    assert [items for items, _ in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    here = threading.current_thread().name
    assert [name == here for _, name in parts] == [True, False, False]


def test_reader_takes_any_slice():
    reader = ahead.Reader(read, 10)
    assert [reader(part)[0] for part in (slice(0, 4), slice(0, 2), slice(2, 4), slice(9, 10))] == [
        [0, 1, 2, 3], [0, 1], [2, 3], [9],
    ]  # fmt: skip
