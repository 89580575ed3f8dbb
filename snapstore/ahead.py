"""Things made in a thread ahead of whoever uses them, bounded in bytes.

    for batch in made_ahead(batches(), size_of):
        ...

The next is made while the one before is being used: it pays where making waits, or does what takes no interpreter's
lock. Something larger than the bound is handed over only when nothing else is held. It does not know what is made.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Generic, TypeVar

__all__ = ["made_ahead"]

_WAITING_BYTES = 16 << 20

T = TypeVar("T")


def made_ahead(
    source: Generator[T, None, None],
    size_of: Callable[[T], int],
    quieten: Callable[[threading.Thread], None] | None = None,
) -> Generator[T, None, None]:
    """The same things as `source` gives, made in a thread; `size_of` is the bytes each holds.

    Errors come through. Closing the iterator early closes `source` in the thread and waits for that; `quieten` is
    called before, with the thread, to interrupt what the source may be waiting for.
    """
    queue = _Queue[T]()

    def produce() -> None:
        try:
            with closing(source):
                for item in source:
                    if not queue.put(item, size_of(item)):
                        return
                    del item
        except BaseException as error:  # noqa: BLE001  # for the thread that waits, whatever it is
            queue.end(error)
        else:
            queue.end(None)

    thread = threading.Thread(target=produce, name="snapstore-read", daemon=True)
    thread.start()
    try:
        yield from queue
    finally:
        queue.stop()
        if quieten is not None:
            quieten(thread)
        thread.join()


class _Queue(Generic[T]):
    """Bounded by the bytes in it and in the hands of its one consumer."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._stopped = self._ended = False
        self._error: BaseException | None = None

    def put(self, item: T, size: int) -> bool:
        """Wait for room; False if nobody wants more."""
        with self._changed:
            while self._bytes and self._bytes + size > _WAITING_BYTES and not self._stopped:
                self._changed.wait()
            if self._stopped:
                return False
            self._items.append((item, size))
            self._bytes += size
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None) -> None:
        """Nothing more will come."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Nothing more is wanted."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not self._items and not self._ended:
                    self._changed.wait()
                if not self._items:
                    break
                item, size = self._items.popleft()
            yield item
            del item
            with self._changed:  # only now is it out of the consumer's hands
                self._bytes -= size
                self._changed.notify_all()
        if self._error is not None:
            raise self._error
