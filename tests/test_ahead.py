"""What is made ahead comes in order, its errors behind it; and nothing is left behind where it ends early."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator

import pytest

from snapstore.ahead import made_ahead


def counted(count: int, ended: list[str], *, fails_at: int = -1) -> Generator[bytes, None, None]:
    try:
        for number in range(count):
            if number == fails_at:
                raise ValueError("no more")
            yield bytes([number])
    finally:
        ended.append(threading.current_thread().name)


def one_megabyte(item: bytes) -> int:
    return len(item) << 20


def is_anything_left() -> bool:
    return any(thread.name == "snapstore-read" for thread in threading.enumerate())


def test_all_that_came_before_an_error_is_given_first() -> None:
    found: list[bytes] = []
    things = made_ahead(counted(100, [], fails_at=57), one_megabyte)
    with pytest.raises(ValueError, match="no more"):
        deque(map(found.append, things), 0)
    assert found == [bytes([number]) for number in range(57)]


def test_who_stops_early_closes_the_source_where_it_ran() -> None:
    ended: list[str] = []
    things = made_ahead(counted(100, ended), one_megabyte)
    assert next(things) == b"\0"
    things.close()
    assert ended == ["snapstore-read"]
    made_ahead(counted(100, ended), one_megabyte).close()  # never begun
    assert not is_anything_left()


def test_a_size_that_cannot_be_told_is_an_error_and_no_endless_wait() -> None:
    def size(item: bytes) -> int:
        raise TypeError("what size?")

    with pytest.raises(TypeError, match="what size"):
        list(made_ahead(counted(3, []), size))
    assert not is_anything_left()
