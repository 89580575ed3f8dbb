"""All of it from Python, as the command line has it: one object, whose methods are the commands.

    import snapstore

    store = snapstore.open("/backups/memory")
    taken = store.take("postgresql://me@/agents", tags=["monday"])
    for table in store.diff("monday", "live"):
        print(table.name, table.added, table.changed, table.removed)
    plan = store.plan_restore("monday", mode="update")
    store.restore("monday", mode="update", plan_id=plan.id)

Each method resolves names and calls one operation; `store.repository` is what the operations themselves take. Snapshots
are named as on the command line: an id or its beginning, `latest`, `latest~2`, a tag, `@2026-01-31`, or `live` where
rows are compared, shown or exported. It does not know snap.toml, nor the environment, and it asks nobody: `restore` and
`gc` do what they are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapstore.asked import asked, held_in, matching_of, on_error_of, opened, request_of
from snapstore.backends.cachefolder import CacheFolder
from snapstore.backends.places import backend_of, check_new
from snapstore.errors import Invalid
from snapstore.extras import Extra
from snapstore.methods.caring import Caring
from snapstore.methods.moving import Moving
from snapstore.methods.restoring import Restoring
from snapstore.operations.ask import OnError
from snapstore.operations.capture import Progress, silent
from snapstore.operations.chain import between, chains
from snapstore.operations.condition import Condition, matching
from snapstore.operations.diff import TableDiff, diff
from snapstore.operations.find import Found, find
from snapstore.operations.guess import guess_roles
from snapstore.operations.livestate import live_state
from snapstore.operations.log import RowHistory, log
from snapstore.operations.named import narrow, one_table
from snapstore.operations.needle import Needle
from snapstore.operations.plan import Mode, Plan
from snapstore.operations.restore import Restored, plan_restore, restore
from snapstore.operations.rowvalues import rows_of
from snapstore.operations.sparing import Refused
from snapstore.operations.state import LIVE, State, of_snapshot
from snapstore.operations.take import Request, Taken, take
from snapstore.operations.undo import check_restored, last_restore, undo_ask
from snapstore.repository import Repository, Snapshot
from snapstore.repository.keyring import Passphrase
from snapstore.repository.resolve import resolve
from snapstore.sources import Selection, Source

if TYPE_CHECKING:
    from snapstore.operations.export import Exported

__all__ = ["Snapstore", "init", "open"]


def init(place: str | Path, *, passphrase: bytes | None = None, allow_http: bool = False) -> Snapstore:
    """A new repository in a folder or bucket; with a passphrase an encrypted one.

    Raises `Exists` where there is one already, `Invalid` for a folder that is not empty.
    """
    check_new(str(place))
    backend = backend_of(str(place), create=True, allow_http=allow_http)
    return Snapstore(Repository.init(backend, passphrase=passphrase))


def open(
    place: str | Path,
    *,
    passphrase: Passphrase | None = None,
    cache: CacheFolder | None = None,
    allow_http: bool = False,
) -> Snapstore:
    """The repository in a folder or under s3://, gs://, az://.

    `cache` keeps what was read of a bucket. Raises `NotFound` where there is none, `WrongKey` where the passphrase
    opens none of its keys, `Unsupported` where an extra is missing.
    """
    return Snapstore(Repository.open(backend_of(str(place), allow_http=allow_http), passphrase, cache=cache))


class Snapstore(Restoring, Moving, Caring):
    """A repository with the operations on it.

    Wherever a live source is meant, it is a URL, a `Source` of one's own, or None: where the snapshot was taken from.
    The URL in a snapshot has no password.
    """

    def take(
        self,
        *sources: str | Source | Request,
        name: str | None = None,
        selection: Selection | None = None,
        tags: Sequence[str] = (),
        description: str = "",
        host: str = "",
        full: bool = False,
        verify: bool = True,
        progress: Progress = silent,
    ) -> Taken:
        """A snapshot of these sources, each named for its database, or `name` where there is one alone.

        A `Request` says name, source and selection of its own. Raises `Invalid`, `Unavailable`, `Unsupported` naming
        what cannot be held, `Conflict`; then nothing was saved.
        """
        if name is not None and len(sources) > 1:
            raise Invalid("a name is for one source, and several are taken", hint="Give each as a `Request`.")
        requests = [request_of(one, name, selection or Selection()) for one in sources]
        return take(
            self.repository, requests, tags=tags, description=description, host=host, full=full, verify=verify,
            progress=progress,
        )  # fmt: skip

    @contextmanager
    def state(
        self, name: str = "latest", *, to: str | Source | None = None, source: str | None = None
    ) -> Iterator[State]:
        """The tables of a snapshot, or the live ones (`live`: what the latest snapshot holds, as it is now).

        `source` picks one of several in the snapshot by its name.
        """
        if name != LIVE:
            snapshot = self.snapshot(name)
            yield of_snapshot(self.repository, snapshot, held_in(snapshot, source).name if source else None)
            return
        with self._live(self.snapshot(), to, source) as found:
            yield found

    def rows(
        self,
        name: str,
        table: str,
        *,
        where: str = "",
        to: str | Source | None = None,
        source: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The rows of a table in order of key, as dicts by column: values as JSON has them, vectors as lists.

        `where` is a condition as of `snap show --where`: `heat > 0.5 AND client = 'ann'`.
        """
        with self.state(name, to=to, source=source) as found:
            own = one_table(found.tables, table, found.label)
            if own.tree is None:
                raise Invalid(f"{own.name} is held without rows, only its shape")
            for batch in matching(own, Condition(own.table, where)) if where else own.tree.rows():
                for _, row in rows_of(own.table, batch, own.fetch):
                    yield row

    def diff(
        self,
        before: str = "latest",
        after: str = LIVE,
        *,
        to: str | Source | None = None,
        source: str | None = None,
        tables: Sequence[str] = (),
    ) -> list[TableDiff]:
        """How each table differs; those that do not are among them (`is_equal`)."""
        if before == LIVE and after == LIVE:
            raise Invalid("`live` is compared with itself", hint="Name a snapshot on one side.")
        named = self.snapshot(after if before == LIVE else before)
        with ExitStack() as stack:
            states = [
                stack.enter_context(self._live(named, to, source) if one == LIVE else self.state(one, source=source))
                for one in (before, after)
            ]
            return list(diff(*narrow(states, tables)))

    def plan_restore(
        self,
        name: str,
        *,
        mode: Mode | str = Mode.SKIP,
        to: str | Source | None = None,
        source: str | None = None,
        tables: Sequence[str] = (),
        keys: Mapping[str, Sequence[str]] | None = None,
        where: Mapping[str, str] | None = None,
        recreate: bool = False,
        progress: Progress = silent,
    ) -> Plan:
        """The dry run of `restore`: what would be done to each table, and the id of just that. Changes nothing."""
        snapshot = self.snapshot(name)
        live, ask = asked(self.repository, snapshot, mode, to, source, tables, keys, where, recreate)
        return plan_restore(self.repository, snapshot, live, ask, progress=progress)

    def restore(
        self,
        name: str,
        *,
        mode: Mode | str = Mode.SKIP,
        to: str | Source | None = None,
        source: str | None = None,
        tables: Sequence[str] = (),
        keys: Mapping[str, Sequence[str]] | None = None,
        where: Mapping[str, str] | None = None,
        recreate: bool = False,
        plan_id: str | None = None,
        on_error: OnError | str = OnError.STOP,
        only: Sequence[Refused] | None = None,
        verify: bool = True,
        host: str = "",
        progress: Progress = silent,
    ) -> Restored:
        """Put back what a snapshot holds: `mode` is `skip` (what is missing), `update` (also what differs) or `exact`
        (and delete the rest, **without asking**).

        `keys` and `where` choose rows by table: `keys={"memories": ["17"]}`. `source` names the one that is meant where
        the snapshot has several. With `plan_id` just that plan is carried out, or `Conflict` raised. A safety snapshot
        comes first (`Restored.safety`); `undo` goes back to it.

        A row that the source refuses ends it, and nothing is changed; with `on_error` "skip" such rows are left out,
        with those that refer to them (`Restored.refused`), and `only` restores just these when the cause is mended.
        """
        snapshot = self.snapshot(name)
        live, ask = asked(self.repository, snapshot, mode, to, source, tables, keys, where, recreate, on_error, only)
        return restore(
            self.repository, snapshot, live, ask, plan_id=plan_id, verify=verify, host=host, progress=progress
        )

    def undo(
        self,
        safety: str | None = None,
        *,
        to: str | Source | None = None,
        on_error: OnError | str = OnError.STOP,
        verify: bool = True,
        host: str = "",
        progress: Progress = silent,
    ) -> Restored:
        """Take back the last restore, or the one that this safety snapshot preceded. Can be undone itself.

        Without `to` another database in the place of the one that was restored is refused. `on_error` as for `restore`,
        which also puts back the rows that were left out: `restore(safety, mode="update", only=undone.refused)`.
        """
        snapshots = self.snapshots()
        before = resolve(snapshots, safety) if safety is not None else last_restore(snapshots)
        held = before.sources[0]
        live = opened(to or held.url)
        if to is None:
            check_restored(live, held)
        ask = replace(undo_ask(self.repository, before), on_error=on_error_of(on_error))
        return restore(self.repository, before, live, ask, verify=verify, host=host, progress=progress)

    def export(
        self,
        name: str,
        folder: str | Path,
        *,
        format: str = "json",
        tables: Sequence[str] = (),
        vectors: bool = True,
        where: Mapping[str, str] | None = None,
        user: str = "",
        to: str | Source | None = None,
        source: str | None = None,
        progress: Progress = silent,
    ) -> Exported:
        """Write rows into a new folder as `json`, `jsonl`, `csv`, `parquet` or `markdown`.

        `where` are conditions by table, in the SQL of the live source, which is asked.
        Raises `Exists` for a folder that is not empty, `Unsupported` without the extra `export`.
        """
        with Extra("export", "an export needs"):
            from snapstore.operations.export import Choice, export_from
            from snapstore.operations.formats import Format
        snapshot = self.snapshot("latest" if name == LIVE else name)
        with ExitStack() as stack:
            found = stack.enter_context(self.state(LIVE if name == LIVE else snapshot.id, to=to, source=source))
            chosen = found.narrowed(tables)
            choice = Choice(vectors, user, matching_of(stack, snapshot, chosen, to, where))
            roles = guess_roles([own.table for own in chosen.tables])
            return export_from(
                self.repository, snapshot, chosen, Path(folder), Format(format), choice, roles=roles, progress=progress
            )

    def log(
        self,
        table: str,
        key: str,
        *,
        source: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> RowHistory:
        """One row through all snapshots; the key as of `snap log TABLE:KEY`."""
        there = chains(between(self.snapshots(), since, until))
        own = [one for one in there if not one.elsewhere and source in (None, one.source)]
        return log(self.repository, one_table(own, table, "the snapshots"), key)

    def find(
        self,
        text: str,
        *,
        regex: bool = False,
        ignore_case: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
        progress: Progress = silent,
    ) -> Iterator[Found]:
        """Every version of a cell that holds a text, with the first and the last snapshot that has it."""
        needle = Needle(text, regex=regex, ignore_case=ignore_case)
        return find(self.repository, chains(between(self.snapshots(), since, until)), needle, progress=progress)

    @contextmanager
    def _live(self, snapshot: Snapshot, to: str | Source | None, source: str | None) -> Iterator[State]:
        chosen = [held_in(snapshot, source)] if source or to is not None else list(snapshot.sources)
        pairs = [(held, opened(to or held.url)) for held in chosen]
        with ExitStack() as stack:
            yield live_state(self.repository, snapshot, pairs, stack)
