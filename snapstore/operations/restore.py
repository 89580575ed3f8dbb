"""Put back what a snapshot holds: exactly the plan, in one transaction, after a safety snapshot (DESIGN: restore).

    plan = plan_restore(repository, snapshot, source, Ask(mode=Mode.UPDATE))
    restored = restore(repository, snapshot, source, Ask(mode=Mode.UPDATE), plan_id=plan.id)

The plan is made again under the lock that keeps other writers out; the state it will change is committed to the
repository first; afterwards the live rows are read once more, and nothing is committed unless they are as promised.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from snapstore.errors import Denied, Invalid, NotFound, SnapstoreError, Unavailable
from snapstore.operations.announced import announced
from snapstore.operations.apply import apply, works
from snapstore.operations.ask import Ask, OnError
from snapstore.operations.capture import Progress, silent
from snapstore.operations.converting import in_live_types, without_columns
from snapstore.operations.heartbeat import Heartbeat
from snapstore.operations.lost_packs import has_lost
from snapstore.operations.parent import parent_of
from snapstore.operations.plan import Mode, Plan, make_plan
from snapstore.operations.readback import read_back
from snapstore.operations.safety import commit_safety, read_before
from snapstore.operations.selected import files_of
from snapstore.operations.sparing import Refused, carry_out_taken, check_spares, without_unturned
from snapstore.operations.state import State, live, of_snapshot, read_objects
from snapstore.repository import Pending, Repository, Snapshot, SnapshotSource
from snapstore.sources import Gradual, Selection, Source, Target, untrusted

__all__ = ["Ask", "Restored", "plan_restore", "restore"]

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done: the plan carried out, the snapshot of the state before (None if nothing was done), the time.

    `notes` say in words how it was done: what made it begin again, and the target's own (whose the new tables are,
    which event triggers fired). `refused` are the rows that were left out because the target does not take them
    (`OnError.SKIP`): the plan is of the others.
    """

    plan: Plan
    safety: Snapshot | None
    seconds: float
    notes: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()


def plan_restore(
    repository: Repository, snapshot: Snapshot, source: Source, ask: Ask, *, progress: Progress = silent
) -> Plan:
    """What `restore` would do now. Changes nothing, anywhere; `obstacle` says so where the repository lets nothing be
    written, which a restore has to.
    """
    ask, held, wanted = _wanted(repository, snapshot, source, ask)
    with announced(repository, snapshot.digests()) as reading, ExitStack() as stack:
        selection = _selection(held, wanted, ask)
        state = stack.enter_context(live(repository, held.name, source, selection, progress=reading.progress(progress)))
        wanted = stack.enter_context(_turned(repository, wanted, state, source, ask))
        ask, _ = without_unturned(ask, state, wanted)
        plan = make_plan(state, wanted, ask.mode, scope=ask.scope, recreate=ask.recreate)
    if reading.is_protected:
        return plan
    refused = _no_undo(repository, snapshot, ask)
    return dataclasses.replace(plan, obstacle=f"{refused.message}. {refused.hint}")


def restore(
    repository: Repository,
    snapshot: Snapshot,
    source: Source,
    ask: Ask,
    *,
    plan_id: str | None = None,
    verify: bool = True,
    host: str = "",
    progress: Progress = silent,
) -> Restored:
    """Carry out the plan, which must be the one with `plan_id` if that is given.

    Raises `Conflict` where the live rows have drifted from that plan, a row stands in the way, or the result is not
    what was planned; the database is then as it was.
    """
    notes: list[str] = []
    while True:
        try:
            restored = _attempt(
                repository,
                snapshot,
                source,
                ask,
                plan_id,
                verify,
                host,
                progress,
                can_repeat=len(notes) + 1 < _ATTEMPTS,
            )
        except _AgainError as again:
            # What ended an attempt for another's sake (a deadlock, a lock that did not come) has left nothing behind.
            notes.append(f"begun again, since others were in the way: {again}")
        else:
            return dataclasses.replace(restored, notes=(*notes, *restored.notes))


class _AgainError(Exception):
    """Nothing was done, and the same may succeed now; in the words of what ended it."""


def _attempt(
    repository: Repository,
    snapshot: Snapshot,
    source: Source,
    ask: Ask,
    plan_id: str | None,
    verify: bool,
    host: str,
    progress: Progress,
    *,
    can_repeat: bool,
) -> Restored:
    began = time.monotonic()
    ask, held, wanted = _wanted(repository, snapshot, source, ask)
    selection = _selection(held, wanted, ask)
    safety: Snapshot | None = None
    is_decided = False
    gradual: Gradual | None = None
    refused: tuple[Refused, ...] = ()
    parent = parent_of(repository.snapshots(), held.name, source.kind)
    try:
        pending = repository.begin(roots=[*snapshot.digests(), *(parent.roots if parent else [])])
    except Denied as error:
        raise _no_undo(repository, snapshot, ask, error) from error
    heart = Heartbeat(repository, pending)
    try:
        if parent is not None and not repository.has(parent.snapshot.id):
            parent = None
        if parent is not None:
            parent = dataclasses.replace(parent, is_damaged=has_lost(repository, parent.snapshot))
        with ExitStack() as stack:
            target = stack.enter_context(source.target(selection))
            gradual = target if isinstance(target, Gradual) else None
            state, before = read_before(repository, heart, target, source.url, selection, held, parent, progress)
            wanted = stack.enter_context(_turned(repository, wanted, state, source, ask))
            ask, refused = without_unturned(ask, state, wanted)
            plan = make_plan(state, wanted, ask.mode, scope=ask.scope, recreate=ask.recreate)
            plan.check(plan_id)
            definition = read_objects(repository.blobs, held.objects)
            if ask.on_error is OnError.SKIP:
                spared = carry_out_taken(plan, state, wanted, target, definition, ask, progress)
                plan, refused = spared.plan, (*refused, *spared.refused)
                ask = dataclasses.replace(ask, scope=spared.scope)
            if plan.is_empty:
                made = _make_lacking(repository, target, held, ask)
                repository.abandon(heart.pending)
                return Restored(plan, None, time.monotonic() - began, made, refused)
            safety = commit_safety(repository, heart, snapshot, before, plan, state, wanted, ask.scope, host)
            if ask.on_error is OnError.STOP:
                todo = works(plan, state, wanted, target)
                target.begin(definition, todo, privileges=ask.privileges, trusted=ask.trusted)
                apply(plan, state, wanted, target, ask.scope, progress)
                target.finish()
            if verify:
                read_back(repository, target, selection, parent, state, wanted, plan, ask, progress)
            notes = tuple(target.notes)
            is_decided = True
    except BaseException as error:
        if safety is not None and gradual is not None and gradual.done:
            if isinstance(error, SnapstoreError):
                raise _half_done(error, gradual.done, safety) from error
            raise  # the safety snapshot stays: it is the only way back
        # Once the database has been asked to commit, nobody knows whether it did: then the safety snapshot stays.
        _give_up(repository, heart.pending, None if is_decided else safety)
        if can_repeat and isinstance(error, SnapstoreError) and error.again and not is_decided:
            raise _AgainError(error.message) from error
        raise
    return Restored(plan, safety, time.monotonic() - began, notes, refused)


@contextmanager
def _turned(repository: Repository, wanted: State, live: State, source: Source, ask: Ask) -> Iterator[State]:
    """What is wanted, in the types that live tables have; as it is where tables of another shape are made anew."""
    with without_columns(repository, wanted, ask.exclude_columns) as state:
        if ask.recreate:
            yield state
        else:
            spares = ask.on_error is OnError.SKIP
            with in_live_types(
                repository, state, live, source, ask.scope, trusted=ask.trusted, spares=spares
            ) as turned:
                yield turned


def _wanted(repository: Repository, snapshot: Snapshot, source: Source, ask: Ask) -> tuple[Ask, SnapshotSource, State]:
    held = snapshot.source(ask.source)
    names = ", ".join(own.name for own in snapshot.sources)
    if held is None and ask.source is None:
        raise Invalid(f"the snapshot {snapshot.id[:8]} has several sources", hint=f"Name one of them: {names}.")
    if held is None:
        raise NotFound(f"the snapshot {snapshot.id[:8]} has no source {ask.source!r}", hint=f"It has: {names}.")
    if held.kind != source.kind:
        raise Invalid(f"{held.name} was taken from {held.kind}; it cannot be restored into {source.kind}")
    if ask.on_error is OnError.SKIP:
        check_spares(source)
    state = of_snapshot(repository, snapshot, held.name).narrowed(ask.tables)
    conditions = [*ask.scope.where, *(table.name for table in state.tables if table.entry.where)]
    if conditions and not ask.trusted:
        raise untrusted([f"the rows of {name} that meet a condition" for name in conditions])
    state = state.ignoring({held.name: ask.ignore_columns})
    for name in (*ask.scope.keys, *ask.scope.where):
        if all(table.name != name for table in state.tables):
            raise Invalid(f"no table {name!r} among those to restore")
    # Where rows stay that the snapshot does not have, they may hold what a loose column would have to be set to.
    loosely = ask.mode is not Mode.EXACT
    asking = dataclasses.replace(ask, scope=dataclasses.replace(ask.scope, matching=source.matching, loosely=loosely))
    return asking, held, state


def _selection(held: SnapshotSource, wanted: State, ask: Ask) -> Selection:
    """The live tables in full, with every column there is now: a row the snapshot holds may be another's by now.

    Of files just those that the snapshot chose among: it says nothing of the others. Views go with a table that is made
    anew, and the safety snapshot must have them.
    """
    names = tuple(table.name for table in wanted.tables)
    files = files_of(held.selection)
    return dataclasses.replace(files, tables=names, partial=True, optional=True, leaning=ask.recreate)


def _make_lacking(repository: Repository, target: Target, held: SnapshotSource, ask: Ask) -> tuple[str, ...]:
    """Where every row and table is there, and all is to be as it was: the views and functions that are not."""
    is_whole = ask.scope.is_all and not ask.tables
    if not (is_whole and ask.recreate and ask.trusted and ask.on_error is OnError.STOP):
        return ()
    target.begin(read_objects(repository.blobs, held.objects), [], privileges=ask.privileges)
    target.finish()
    return tuple(target.notes)


def _half_done(error: SnapstoreError, done: str, safety: Snapshot) -> SnapstoreError:
    """The same error where there is no transaction to roll back: what was done, and both ways on."""
    hint = f"The same restore goes on from there; `snap undo {safety.id[:8]}` takes back what was done."
    return type(error)(f"{error.message}; until then {done}", hint=hint)


def _no_undo(repository: Repository, snapshot: Snapshot, ask: Ask, error: Denied | None = None) -> Denied:
    """Why nothing is restored from a repository that cannot take the safety snapshot, and how it is done."""
    name = snapshot.id[:8]
    return Denied(
        f"{repository.location} may only be read, and a restore first saves there what it overwrites"
        + (f"; nothing was changed ({error.message})" if error else ""),
        hint="Copy the snapshot into a repository of your own, and restore it from there: "
        f"`snap init PATH`, `snap copy {name} --to PATH`, `snap -r PATH restore {name}`."
        + ("" if ask.trusted else " There its SQL is run: copy it only if you trust whoever can write here."),
    )


def _give_up(repository: Repository, pending: Pending, safety: Snapshot | None) -> None:
    # The first error is the one to report; a store that failed may well fail again here, and gc evicts what stays.
    with suppress(Unavailable, NotFound):
        if safety is None:
            repository.abandon(pending)
        else:
            repository.remove(safety.id)
