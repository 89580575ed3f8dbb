"""A backend that does something at one chosen storage call: fails, as a killed process would, or lets others work.

points = Points(backend, at=7, before=crash)
points.calls        # how many there were
WAYS["reply lost"](backend, 7)

What a write that is torn leaves is below the storage calls: see `tests.operations.disk`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from snapstore.backends import Backend, Entry, Stored
from snapstore.digest import Buffer
from snapstore.errors import Unavailable

Result = TypeVar("Result")
WRITES = {"put", "replace", "delete"}


def crash() -> None:
    """What a killed process finds of its store."""
    raise Unavailable("killed")


class Wrapped:
    """A backend around another: every call goes through `_call`, with its verb and the name or prefix: `Backend`."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner

    @property
    def location(self) -> str:
        return self.inner.location

    def _call(self, verb: str, name: str, call: Callable[[], Result]) -> Result:
        return call()

    def get(self, name: str) -> Stored:
        return self._call("get", name, lambda: self.inner.get(name))

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        return self._call("get_range", name, lambda: self.inner.get_range(name, offset, length))

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        return self._call("put", name, lambda: self.inner.put(name, parts, unique=unique))

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        return self._call("replace", name, lambda: self.inner.replace(name, data, tag=tag))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        return self._call("list", prefix, lambda: self.inner.list(prefix))

    def delete(self, name: str) -> None:
        self._call("delete", name, lambda: self.inner.delete(name))


class Faulty(Wrapped):
    """A store in which one writing call goes wrong, and with `is_full` every later one.

    The call has no effect, or with `is_done` all of it, and its reply is lost. Deletions work in a full store. The
    process lives on, and cleans up as it thinks best.
    """

    def __init__(self, inner: Backend, at: int, *, is_done: bool = False, is_full: bool = False) -> None:
        super().__init__(inner)
        self.calls = 0
        self._at, self._is_done, self._is_full = at, is_done, is_full
        self._lock = threading.Lock()

    def _call(self, verb: str, name: str, call: Callable[[], Result]) -> Result:
        if verb not in WRITES or (verb == "delete" and self._is_full):
            return call()
        with self._lock:
            number, self.calls = self.calls, self.calls + 1
            if number != self._at and not (self._is_full and number > self._at):
                return call()
            if self._is_done:
                call()
            raise Unavailable("no space left" if self._is_full else "the reply was lost")


class Points(Wrapped):
    """Calls `before` or `after` at call number `at`; once that raised, every later call raises too.

    With `writes_only` calls that read are not counted.
    """

    def __init__(
        self,
        inner: Backend,
        at: int = -1,
        *,
        before: Callable[[], None] | None = None,
        after: Callable[[], None] | None = None,
        writes_only: bool = False,
    ) -> None:
        super().__init__(inner)
        self.calls = 0
        self._at = at
        self._before = before
        self._after = after
        self._writes_only = writes_only
        self._error: BaseException | None = None
        self._lock = threading.RLock()

    def _call(self, verb: str, name: str, call: Callable[[], Result]) -> Result:
        with self._lock:  # takes write from several threads; one call is one point
            if self._error is not None:
                raise self._error
            if self._writes_only and verb not in WRITES:
                return call()
            number, self.calls = self.calls, self.calls + 1
            if number == self._at and self._before is not None:
                self._run(self._before)
            result = call()
            if number == self._at and self._after is not None:
                self._run(self._after)
            return result

    def _run(self, what: Callable[[], None]) -> None:
        try:
            what()
        except BaseException as error:
            self._error = error
            raise


# What becomes of the call of this number, and of those that follow.
WAYS: dict[str, Callable[[Backend, int], Backend]] = {
    "before": lambda backend, at: Points(backend, at, before=crash),
    "after": lambda backend, at: Points(backend, at, after=crash, writes_only=True),
    "reply lost": lambda backend, at: Faulty(backend, at, is_done=True),
    "failed": Faulty,
    "full": lambda backend, at: Faulty(backend, at, is_full=True),
}


def calls_to_fail(way: str, operation: Callable[[Backend], object], backend: Backend) -> int:
    """How many calls this operation makes that may fail in this way: of all calls before, else of those that write."""
    counting = Points(backend, writes_only=way != "before")
    operation(counting)
    return counting.calls
