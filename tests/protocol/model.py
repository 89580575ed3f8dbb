"""A model of commit and collection (DESIGN §7) small enough to try every order of their steps.

    outcome = search(System(takes=2, collections=1, removals=1))
    len(outcome.states), outcome.way

One blob is all there is: whatever holds for it holds for each. Packs, index entries and tombstones are sets of pack
numbers; each snapshot object is absent, pending or committed; every process is where it stands and what it remembers.
A step is one call to the store, the point at which others see it. Any process may stop for ever after any step, which
needs no step of its own: an order in which it is not scheduled again is among those tried. A lost reply is that too, or
a call made again, and the calls are such that the second changes nothing. It does not know bytes, damage or time: any
pending may be given up at any moment, as if it had stalled.

The rules that a variant of the protocol leaves out are named in `Without`: each of them loses data, which shows too
that the search can fail. Copying before a pack is deleted and looking once more before it count as one rule: to leave
out either alone loses nothing here. That an index entry counts only if its pack is listed guards against stale
segments, of which the model has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import NamedTuple

__all__ = ["Outcome", "Slot", "State", "System", "Without", "collected", "loses", "search"]


class Slot(IntEnum):
    """What the store holds under a snapshot's name."""

    ABSENT = 0
    PENDING = 1
    """Names no roots."""
    ROOTED = 2
    """Pending, and names the blob as a root of its parent."""
    COMMITTED = 3
    """Needs the blob."""
    EVICTED = 4
    """Pending still to those who list, but no longer the object that its take put there."""


class Without(Enum):
    """A rule left out."""

    NOTHING = auto()
    PARENT_READ_AGAIN = auto()
    """A take looks at its parent once more after it announced itself."""
    ROOTS_IN_PENDING = auto()
    """A pending names the roots that it builds on."""
    TOMBSTONES_HEEDED = auto()
    """A take relies on no condemned pack."""
    WAITING = auto()
    """A collection deletes only when those have ended that were pending after its tombstones stood."""
    SECOND_MARK = auto()
    """What they committed counts."""
    ONE_LISTING = auto()
    """The listing that shows that they have ended is the one that is marked from."""
    COPYING = auto()
    """What is needed and only in condemned packs is copied first; a pack without such a copy stays."""
    SWAP = auto()
    """A commit replaces the pending object that the take put, and no other."""
    SWAP_IN_BEATS = auto()
    """So does a heartbeat. One that is its own changes nothing here; who meets another's stops for ever."""


class Take(NamedTuple):
    """A take that writes the blob, or finds it; `parent` is a slot or -1."""

    at: int = 0
    parent: int = -1
    tombs: int = 0
    packs: int = 0


class Collection(NamedTuple):
    """A gc: `needed` whether the blob is marked, `doomed` the packs it has yet to condemn, then those condemned.

    `recorded` are slots that were pending; `there`, `good` and `targets` sets of packs as it saw them.
    """

    at: int = 0
    there: int = 0
    needed: bool = False
    doomed: int = 0
    recorded: int = 0
    tombs: int = 0
    good: int = 0
    targets: int = 0
    deleted: int = 0


class Removal(NamedTuple):
    """Somebody who removes one committed snapshot."""

    at: int = 0


class Eviction(NamedTuple):
    """A gc that takes a pending for stalled: it replaces it, then deletes it."""

    at: int = 0
    slot: int = -1


Process = Take | Collection | Removal | Eviction


class State(NamedTuple):
    """The store, and everybody. Sets of packs and of slots are bits."""

    packs: int
    indexed: int
    tombs: int
    slots: tuple[Slot, ...]
    processes: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class System:
    """Who there is, beside one committed snapshot whose pack holds the blob."""

    takes: int = 2
    collections: int = 1
    removals: int = 1
    evictions: int = 0
    without: Without = Without.NOTHING

    def start(self) -> State:
        """Pack 0 and slot 0 are the snapshot's; process n owns pack and slot n + 1."""
        processes: list[Process] = [Take() for _ in range(self.takes)]
        processes += [Collection() for _ in range(self.collections)]
        processes += [Removal() for _ in range(self.removals)]
        processes += [Eviction() for _ in range(self.evictions)]
        slots = (Slot.COMMITTED, *(Slot.ABSENT for _ in range(self.takes)))
        return State(1, 1, 0, slots, tuple(processes))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search saw: `states`, all of them, and if some order loses the blob, the `way` there from the start."""

    states: frozenset[State]
    way: tuple[State, ...]


def search(system: System) -> Outcome:
    """Every state that any order of steps reaches, or those up to the first that breaks the invariant."""
    start = system.start()
    came_from: dict[State, State | None] = {start: None}
    stack = [start]
    while stack:
        state = stack.pop()
        for following in steps(state, system.without):
            if following not in came_from:
                came_from[following] = state
                if loses(following):
                    return Outcome(frozenset(came_from), tuple(_way(following, came_from)))
                stack.append(following)
    return Outcome(frozenset(came_from), ())


def _way(state: State | None, came_from: dict[State, State | None]) -> list[State]:
    way = []
    while state is not None:
        way.append(state)
        state = came_from[state]
    return way[::-1]


def collected(state: State) -> State:
    """What is left when everybody has died here, all that was pending is given up, and one gc ran by itself."""
    slots = tuple(held if held == Slot.COMMITTED else Slot.ABSENT for held in state.slots)
    state = State(state.packs, state.indexed, state.tombs, slots, (*[_DEAD] * len(state.processes), Collection()))
    while following := next(steps(state), None):
        state = following
    return state


def loses(state: State) -> bool:
    """Whether a committed snapshot misses the blob: no pack that is there and indexed holds it."""
    return Slot.COMMITTED in state.slots and not state.packs & state.indexed


def steps(state: State, without: Without = Without.NOTHING) -> Iterator[State]:
    """Every state that one step of one process leads to."""
    for number, process in enumerate(state.processes):
        if isinstance(process, Take):
            own = _take(state, process, number, without)
        elif isinstance(process, Collection):
            own = _collect(state, process, number, without)
        elif isinstance(process, Removal):
            own = _remove(state, process)
        else:
            own = _evict(state, process)
        for after, moved in own:
            processes = state.processes
            yield after._replace(processes=(*processes[:number], moved, *processes[number + 1 :]))


def _put(state: State, slot: int, value: Slot) -> State:
    return state._replace(slots=(*state.slots[:slot], value, *state.slots[slot + 1 :]))


_DONE = 99
_DEAD = Removal(_DONE)


def _take(state: State, take: Take, number: int, without: Without) -> Iterator[tuple[State, Process]]:
    slot, pack = number + 1, 1 << (number + 1)
    at = take.at
    if without == Without.SWAP_IN_BEATS and at > 1 and state.slots[slot] in (Slot.EVICTED, Slot.ABSENT):
        yield _put(state, slot, Slot.PENDING), take
    if at == 0:  # which snapshot to build on, if any
        yield state, take._replace(at=1)
        for parent, held in enumerate(state.slots):
            if held == Slot.COMMITTED:
                yield state, take._replace(at=1, parent=parent)
    elif at == 1:
        is_rooted = take.parent >= 0 and without != Without.ROOTS_IN_PENDING
        yield _put(state, slot, Slot.ROOTED if is_rooted else Slot.PENDING), take._replace(at=2)
    elif at == 2:  # the parent once more; what builds on it needs no other look
        if take.parent >= 0 and (without == Without.PARENT_READ_AGAIN or state.slots[take.parent] == Slot.COMMITTED):
            yield state, Take(at=8)
        else:
            yield state, Take(at=3)
    elif at == 3:
        yield state, take._replace(at=4, tombs=0 if without == Without.TOMBSTONES_HEEDED else state.tombs)
    elif at == 4:
        yield state, take._replace(at=5, packs=state.packs)
    elif at == 5:
        yield state, Take(at=8 if state.indexed & take.packs & ~take.tombs else 6)
    elif at == 6:
        yield state._replace(packs=state.packs | pack), Take(at=7)
    elif at == 7:
        yield state._replace(indexed=state.indexed | pack), Take(at=8)
    elif at == 8:
        is_own = state.slots[slot] in (Slot.PENDING, Slot.ROOTED)
        commits = is_own or without == Without.SWAP
        yield (_put(state, slot, Slot.COMMITTED) if commits else state), Take(at=_DONE)


def _collect(state: State, gc: Collection, number: int, without: Without) -> Iterator[tuple[State, Process]]:
    step = _STEPS.get(gc.at)
    if step is not None:
        yield from step(state, gc, number, without)


def _pending(state: State) -> int:
    return sum(1 << slot for slot, held in enumerate(state.slots) if held in _PENDING)


_PENDING = (Slot.PENDING, Slot.ROOTED, Slot.EVICTED)
_Moves = Iterator[tuple[State, Process]]


def _is_needed(state: State) -> bool:
    return Slot.COMMITTED in state.slots or Slot.ROOTED in state.slots


def _list_packs(state: State, gc: Collection, number: int, without: Without) -> _Moves:
    yield state, gc._replace(at=1, there=state.packs)


def _mark(state: State, gc: Collection, number: int, without: Without) -> _Moves:
    needed = _is_needed(state)
    # The packs of takes that run stay out of it, and it may find any pack half empty for other blobs' sake.
    free = gc.there & ~state.tombs & ~_pending(state)
    for doomed in _subsets(free) if needed else (free,):
        yield state, Collection(at=2, needed=needed, doomed=doomed)


def _subsets(bits: int) -> Iterator[int]:
    chosen = bits
    while True:
        yield chosen
        if not chosen:
            return
        chosen = (chosen - 1) & bits


def _condemn(state: State, gc: Collection, number: int, without: Without) -> _Moves:
    if gc.doomed:
        lowest = gc.doomed & -gc.doomed
        yield state._replace(tombs=state.tombs | lowest), gc._replace(doomed=gc.doomed & ~lowest)
    elif state.tombs:
        yield state, gc._replace(at=3, doomed=state.tombs)  # those of others that died are its own now
    else:
        yield state, Collection(at=_DONE)


def _record(state: State, gc: Collection, number: int, without: Without) -> _Moves:
    recorded = 0 if without == Without.WAITING else _pending(state)
    if recorded:  # without the rule of one listing, this one is marked from, though it shows that they run still
        yield state, gc._replace(at=4, recorded=recorded, needed=_marked(state, gc, without == Without.ONE_LISTING))
    else:
        yield state, gc._replace(at=5, needed=_marked(state, gc, without != Without.SECOND_MARK))


def _wait(state: State, gc: Collection, number: int, without: Without) -> _Moves:
    if not gc.recorded & _pending(state):
        is_marking = without not in (Without.SECOND_MARK, Without.ONE_LISTING)
        yield state, gc._replace(at=5, recorded=0, needed=_marked(state, gc, is_marking))


def _marked(state: State, gc: Collection, is_marking: bool) -> bool:
    return gc.needed or (is_marking and _is_needed(state))


def _targets(state: State, gc: Collection, number: int, without: Without) -> _Moves:
    yield state, gc._replace(at=6, targets=state.packs & gc.doomed)


def _look(to: int) -> Callable[[State, Collection, int, Without], _Moves]:
    """Tombstones, then packs, then index: three steps."""

    def tombs(state: State, gc: Collection, number: int, without: Without) -> _Moves:
        yield state, gc._replace(at=to - 2, tombs=state.tombs)

    def packs(state: State, gc: Collection, number: int, without: Without) -> _Moves:
        yield state, gc._replace(at=to - 1, good=state.packs & ~gc.tombs, tombs=0)

    def index(state: State, gc: Collection, number: int, without: Without) -> _Moves:
        yield state, gc._replace(at=to, good=state.indexed & gc.good)

    return lambda state, gc, number, without: (tombs, packs, index)[gc.at - (to - 3)](state, gc, number, without)


def _copy(state: State, gc: Collection, number: int, without: Without) -> _Moves:
    pack = 1 << (number + 1)
    if not gc.needed or gc.good or not gc.targets or without == Without.COPYING:
        yield state, gc._replace(at=11, good=0)
    elif not gc.targets & state.packs:
        yield state, gc._replace(at=5, targets=0)  # another was first, having copied it: look again
    elif not state.packs & pack:
        yield state._replace(packs=state.packs | pack), gc
    else:
        yield state._replace(indexed=state.indexed | pack), gc._replace(at=11)


def _delete(state: State, gc: Collection, number: int, without: Without) -> _Moves:
    left = gc.targets & ~gc.deleted
    if not left:
        gone = gc.doomed & ~(gc.targets & ~gc.deleted)
        yield state, gc._replace(at=15, doomed=gone, targets=0, deleted=0, good=0)
        return
    lowest = left & -left
    if state.packs & lowest and gc.needed and not gc.good and without != Without.COPYING:
        yield state, gc._replace(targets=gc.targets & ~lowest, doomed=gc.doomed & ~lowest)
    else:
        yield state._replace(packs=state.packs & ~lowest), gc._replace(deleted=gc.deleted | lowest)


def _purge(state: State, gc: Collection, number: int, without: Without) -> _Moves:
    yield state._replace(indexed=state.indexed & ~gc.doomed), gc._replace(at=16)


def _forget(state: State, gc: Collection, number: int, without: Without) -> _Moves:
    lowest = gc.doomed & -gc.doomed
    if lowest:
        yield state._replace(tombs=state.tombs & ~lowest), gc._replace(doomed=gc.doomed & ~lowest)
    else:
        yield state, Collection(at=_DONE)


_first_look, _last_look = _look(9), _look(14)
_STEPS: dict[int, Callable[[State, Collection, int, Without], _Moves]] = {
    0: _list_packs,
    1: _mark,
    2: _condemn,
    3: _record,
    4: _wait,
    5: _targets,
    6: _first_look,
    7: _first_look,
    8: _first_look,
    9: _copy,
    11: _last_look,
    12: _last_look,
    13: _last_look,
    14: _delete,
    15: _purge,
    16: _forget,
}


def _remove(state: State, process: Removal) -> _Moves:
    if process.at == 0:
        for slot, held in enumerate(state.slots):
            if held == Slot.COMMITTED:
                yield _put(state, slot, Slot.ABSENT), Removal(_DONE)


def _evict(state: State, process: Eviction) -> _Moves:
    if process.at == 0:
        for slot, held in enumerate(state.slots):
            if held in (Slot.PENDING, Slot.ROOTED):
                yield _put(state, slot, Slot.EVICTED), Eviction(1, slot)
    elif process.at == 1:
        yield _put(state, process.slot, Slot.ABSENT), Eviction(_DONE)
