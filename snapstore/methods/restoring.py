"""Several sources put back in one call, and a block of code that is guarded: the methods that hold sources together.

    plans = store.plan_restore_all("monday", mode="exact")
    store.restore_all("monday", mode="exact", plans=plans)

    with store.guard("postgresql://me@/agents", max_deletes="5%", put_back=True) as guarded:
        forget_old_memories()
    guarded.did.tables

Each source is a transaction of its own, where its engine has any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from snapstore.asked import asked, request_of
from snapstore.errors import Conflict, Invalid, SnapstoreError
from snapstore.methods.opened import Opened
from snapstore.operations.ask import Ask
from snapstore.operations.capture import Progress, silent
from snapstore.operations.guard import Back, Did, Limit, Pairs, look, put_back
from snapstore.operations.named import patterns_by_source
from snapstore.operations.plan import Mode, Plan
from snapstore.operations.restore import Restored, plan_restore, restore
from snapstore.operations.take import Request, take
from snapstore.repository import Snapshot
from snapstore.sources import Selection, Source

__all__ = ["Guarded", "Restoring"]


@dataclass(slots=True)
class Guarded:
    """What is known of a guarded block: the snapshot before it, and once it has ended what it did, by how much that was
    too much (in words), and what was put back.
    """

    snapshot: Snapshot
    did: Did | None = None
    exceeded: tuple[str, ...] = ()
    back: Back | None = None


class Restoring(Opened):
    """What holds several sources together."""

    def plan_restore_all(
        self,
        name: str,
        *,
        mode: Mode | str = Mode.SKIP,
        to: Mapping[str, str | Source] | None = None,
        tables: Sequence[str] = (),
        recreate: bool = False,
        progress: Progress = silent,
    ) -> dict[str, Plan]:
        """The dry run of `restore_all`, by name of source. Changes nothing."""
        snapshot = self.snapshot(name)
        return {
            source: plan_restore(self.repository, snapshot, live, ask, progress=progress)
            for source, live, ask in self._asked(snapshot, mode, to, tables, recreate)
        }

    def restore_all(
        self,
        name: str,
        *,
        mode: Mode | str = Mode.SKIP,
        to: Mapping[str, str | Source] | None = None,
        tables: Sequence[str] = (),
        recreate: bool = False,
        plans: Mapping[str, Plan] | None = None,
        verify: bool = True,
        host: str = "",
        progress: Progress = silent,
    ) -> dict[str, Restored]:
        """Put back every source of a snapshot, one after the other, as `restore` does one; the results by its name.

        `to` says where sources are live now, by name; others are where they were taken. `tables` leaves alone the
        sources that have none of them. With `plans` just these are carried out. Of an error that comes after others
        were done the hint says which, and by what `undo` takes each back; the same call goes on where it stopped.
        """
        snapshot = self.snapshot(name)
        jobs = self._asked(snapshot, mode, to, tables, recreate)
        if plans is not None and plans.keys() != {source for source, _, _ in jobs}:
            raise Invalid("these are plans of other sources", hint="Make them with `plan_restore_all` of the same.")
        done: dict[str, Restored] = {}
        for source, live, ask in jobs:
            plan_id = None if plans is None else plans[source].id
            try:
                done[source] = restore(
                    self.repository, snapshot, live, ask, plan_id=plan_id, verify=verify, host=host, progress=progress
                )
            except SnapstoreError as error:
                error.hint = " ".join(filter(None, [error.hint, _standing(done, [own for own, _, _ in jobs])]))
                raise
        return done

    @contextmanager
    def guard(
        self,
        *sources: str | Source | Request,
        selection: Selection | None = None,
        tags: Sequence[str] = (),
        description: str = "",
        max_deletes: int | str | None = None,
        max_changes: int | str | None = None,
        put_back: bool = False,
        host: str = "",
        progress: Progress = silent,
    ) -> Iterator[Guarded]:
        """Take a snapshot, let the block run, and look at what it did (`Guarded.did`), whether or not it failed.

        A limit is a number of rows or a share of those in the snapshot (`"5%"`). If the block raises, or exceeds one,
        `put_back` makes everything what it was. What the block raised goes on; a limit exceeded raises `Conflict`.
        Without a snapshot the block is not run.
        """
        limits = [Limit("deletes", str(max_deletes))] if max_deletes is not None else []
        limits += [Limit("changes", str(max_changes))] if max_changes is not None else []
        requests = [request_of(one, None, selection or Selection()) for one in sources]
        snapshot = take(
            self.repository, requests, tags=tags, description=description, host=host, progress=progress
        ).snapshot
        pairs = [(held, one.source) for one in requests if (held := snapshot.source(one.name)) is not None]
        guarded = Guarded(snapshot)
        try:
            yield guarded
        except BaseException as error:
            self._look_back(guarded, pairs, limits, put_back, host, progress, has_failed=True)
            for told in _told(guarded):
                error.add_note(told)
            raise
        self._look_back(guarded, pairs, limits, put_back, host, progress, has_failed=False)
        if guarded.exceeded:
            raise Conflict("; ".join(guarded.exceeded), hint=" ".join(_told(guarded)))

    def _look_back(
        self,
        guarded: Guarded,
        pairs: Pairs,
        limits: Sequence[Limit],
        is_put_back: bool,
        host: str,
        progress: Progress,
        *,
        has_failed: bool,
    ) -> None:
        guarded.did = did = look(self.repository, guarded.snapshot, pairs, progress=progress)
        guarded.exceeded = tuple(told for limit in limits if (told := did.exceeded(limit)))
        if is_put_back and (has_failed or guarded.exceeded) and not did.is_nothing:
            guarded.back = put_back(self.repository, guarded.snapshot, pairs, host=host, progress=progress)

    def _asked(
        self,
        snapshot: Snapshot,
        mode: Mode | str,
        to: Mapping[str, str | Source] | None,
        tables: Sequence[str],
        recreate: bool,
    ) -> list[tuple[str, Source, Ask]]:
        """What to ask of each source; those of which no table is meant are left alone."""
        names = [own.name for own in snapshot.sources]
        if unknown := [name for name in to or () if name not in names]:
            raise Invalid(
                f"the snapshot {snapshot.id[:8]} has no source {unknown[0]!r}", hint=f"It has: {', '.join(names)}."
            )
        found = []
        for name, own in patterns_by_source(snapshot.sources, tables, snapshot.id[:8]).items():
            live, ask = asked(self.repository, snapshot, mode, (to or {}).get(name), name, own, None, None, recreate)
            found.append((name, live, ask))
        return found


def _standing(done: Mapping[str, Restored], names: Sequence[str]) -> str:
    """Where things stand after an error, in words; empty if nothing was done before it."""
    told = [
        f"{name} was restored" + (f" (`undo({one.safety.id[:8]!r})` takes it back)." if one.safety else ".")
        for name, one in done.items()
    ]
    return " ".join([*told, f"Not restored: {', '.join(names[len(done) :])}."]) if done else ""


def _told(guarded: Guarded) -> Iterator[str]:
    """What became of it, for those who see the error alone."""
    yield f"The snapshot {guarded.snapshot.id[:8]} was taken before."
    if guarded.back is not None:
        for one in guarded.back.failed:
            yield f"{one.source} was not put back: {one.error.message}."
        if guarded.back.left:
            yield f"Still not as it was: {', '.join(guarded.back.left)}."
        if not guarded.back.failed and not guarded.back.left:
            yield "Everything was put back as it was."
