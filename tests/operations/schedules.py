"""Runs several operations at once, one storage call at a time, in every order that can make a difference.

    for order in orders([take_a, take_b, gc], start, depth=12):
        order.backend, order.calls

Each operation runs in its own thread and stops at every storage call until it is let go. Two orders that differ only
in neighbours which do not see each other (two reads, or calls on different names) are one order: of those that are the
same one is tried, by sleep sets (Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", 1996).
Beyond `depth` calls the operations end one after the other. It knows storage calls, not what the operations do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from snapstore.backends import Backend
from snapstore.backends.memory import MemoryBackend
from snapstore.errors import SnapstoreError
from snapstore.repository import Repository
from tests.operations.crowd import Operation, copied
from tests.operations.points import WRITES, Result, Wrapped

__all__ = ["Order", "orders", "random_order"]


@dataclass(frozen=True, slots=True)
class Call:
    """A storage call that waits to be let go: `name` is a prefix for a listing."""

    name: str
    is_write: bool
    is_listing: bool

    def minds(self, other: Call) -> bool:
        """Whether the order of these two can make a difference."""
        if not (self.is_write or other.is_write):
            return False
        if self.is_listing or other.is_listing:
            return self.name.startswith(other.name) or other.name.startswith(self.name)
        return self.name == other.name


@dataclass(frozen=True, slots=True)
class Order:
    """One run: the store it left, who made each call, and the errors that operations ended with."""

    backend: MemoryBackend
    calls: tuple[int, ...]
    errors: tuple[SnapstoreError, ...]


class _Given(BaseException):
    """The run is of no interest any more."""


class _Actor:
    """An operation in its thread. `waiting` are the calls that its threads have come to, in order of arrival."""

    def __init__(self, operation: Operation, backend: Backend) -> None:
        self.waiting: list[tuple[Call, threading.Event]] = []
        self.is_given_up = False
        self._changed = threading.Condition()
        threads = ThreadPoolExecutor(1)
        self._run = threads.submit(lambda: operation(Repository.open(_Gate(backend, self))))
        self._run.add_done_callback(self._end)
        threads.shutdown(wait=False)

    def _end(self, _: Future[object]) -> None:
        with self._changed:
            self._changed.notify()

    def stop_at(self, call: Call) -> None:
        """Called by the operation's threads."""
        event = threading.Event()
        with self._changed:
            if self.is_given_up:
                raise _Given
            self.waiting.append((call, event))
            self._changed.notify()
        event.wait()
        if self.is_given_up:
            raise _Given

    def call(self) -> Call | None:
        """What it wants to do next; None once it has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self.waiting or self._run.done())
            return self.waiting[0][0] if self.waiting else None

    def go(self) -> None:
        """Let that call happen."""
        with self._changed:
            _, event = self.waiting.pop(0)
        event.set()

    def give_up(self) -> None:
        with self._changed:
            self.is_given_up = True
            for _, event in self.waiting:
                event.set()
            self.waiting.clear()
        wait([self._run])

    def end(self) -> SnapstoreError | None:
        """The error it ended with. Raises what is none of ours."""
        error = self._run.exception()
        if error is None or isinstance(error, SnapstoreError):
            return error
        raise error


class _Gate(Wrapped):
    """Stops at every call until it is let go."""

    def __init__(self, inner: Backend, actor: _Actor) -> None:
        super().__init__(inner)
        self._actor = actor

    def _call(self, verb: str, name: str, call: Callable[[], Result]) -> Result:
        self._actor.stop_at(Call(name, is_write=verb in WRITES, is_listing=verb == "list"))
        return call()


def orders(operations: Sequence[Operation], start: MemoryBackend, *, depth: int) -> Iterator[Order]:
    """A run for every order of the first `depth` calls that can make a difference."""
    left: list[tuple[tuple[int, ...], frozenset[int]]] = [((), frozenset())]
    while left:
        way, asleep = left.pop()
        order = _follow(operations, start, way, asleep, depth, left)
        if order is not None:
            yield order


def _follow(
    operations: Sequence[Operation],
    start: MemoryBackend,
    way: tuple[int, ...],
    asleep: frozenset[int],
    depth: int,
    left: list[tuple[tuple[int, ...], frozenset[int]]],
) -> Order | None:
    """Go this way, then on; put the other ways met into `left`. None if all that follows was seen elsewhere."""
    backend = copied(start)
    made: list[int] = []
    with _started(operations, backend) as actors:
        while calls := {number: call for number, actor in enumerate(actors) if (call := actor.call()) is not None}:
            if len(made) < len(way):
                chosen = way[len(made)]
            elif len(made) < depth:
                awake = [number for number in calls if number not in asleep]
                if not awake:
                    return None
                chosen = awake[0]
                for at, other in enumerate(awake[1:], 1):
                    seen = asleep | set(awake[:at])
                    left.append(((*made, other), _still(seen, calls, calls[other])))
                asleep = _still(asleep, calls, calls[chosen])
            else:
                chosen = made[-1] if made and made[-1] in calls else min(calls)
            actors[chosen].go()
            made.append(chosen)
        return _order(backend, made, actors)


def _still(asleep: frozenset[int] | set[int], calls: dict[int, Call], made: Call) -> frozenset[int]:
    """Who stays asleep after this call: whose next call does not mind it."""
    return frozenset(number for number in asleep if number in calls and not calls[number].minds(made))


def random_order(
    operations: Sequence[Operation], start: MemoryBackend, lengths: Sequence[int], random: Random
) -> Order:
    """A run in which each operation, of about so many calls, gives way to all others at two calls drawn for it.

    Whoever is first in an order drawn at the start goes on till then: what takes two or three operations at the right
    calls to go wrong is found far sooner than by drawing call by call (Burckhardt and others, "A Randomized Scheduler
    with Probabilistic Guarantees of Finding Bugs", 2010).
    """
    backend = copied(start)
    rank = random.sample(range(len(operations)), len(operations))
    gives_way = [{random.randrange(length) for _ in range(2)} for length in lengths]
    made: list[int] = []
    with _started(operations, backend) as actors:
        while waiting := [number for number in rank if actors[number].call() is not None]:
            chosen = waiting[0]
            if made.count(chosen) in gives_way[chosen]:
                gives_way[chosen].discard(made.count(chosen))
                rank.remove(chosen)
                rank.append(chosen)
                continue
            actors[chosen].go()
            made.append(chosen)
        return _order(backend, made, actors)


@contextmanager
def _started(operations: Sequence[Operation], backend: Backend) -> Iterator[list[_Actor]]:
    """The operations, each at its first call; whatever has not ended at the end is given up."""
    actors = [_Actor(operation, backend) for operation in operations]
    try:
        yield actors
    finally:
        for actor in actors:
            actor.give_up()


def _order(backend: MemoryBackend, made: Sequence[int], actors: Sequence[_Actor]) -> Order:
    errors = [error for actor in actors if (error := actor.end()) is not None]
    return Order(backend, tuple(made), tuple(errors))
