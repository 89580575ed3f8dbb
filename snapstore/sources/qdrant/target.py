"""A Qdrant being restored, batch by batch: there is no transaction, so what is done stays done.

    with open_target(place, selection, timeout_seconds=30, wait_seconds=600) as target:
        target.begin(definition, works)
        target.insert(table, batches)
        target.finish()

Others are not kept from writing. A folder of local mode is nobody else's meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from snapstore.errors import Conflict, Unsupported
from snapstore.rows import Batch, Cells, Table
from snapstore.sources import Selection, Work
from snapstore.sources.qdrant.applying import delete_points, insert_points, update_points
from snapstore.sources.qdrant.catalog import Catalog, read_catalog
from snapstore.sources.qdrant.collections import (
    drop_collection,
    list_aliases,
    list_collections,
    make_aliases,
    make_collection,
    make_indexes,
    normalised_columns,
    read_shape,
)
from snapstore.sources.qdrant.connection import Place, Session, open_session
from snapstore.sources.qdrant.view import QdrantView

__all__ = ["QdrantTarget", "open_target"]

_PAUSE_SECONDS = 0.2


class QdrantTarget(QdrantView):
    """The `Target`, and `Gradual`. Made by `open_target`."""

    def __init__(
        self, session: Session, place: Place, selection: Selection, catalog: Catalog, *, wait_seconds: float
    ) -> None:
        super().__init__(session, place, selection, catalog)
        self._wait_seconds = wait_seconds
        self._work: Sequence[Work] = ()
        self._notes: list[str] = []
        self._done: dict[tuple[str, str], int] = {}

    @property
    def notes(self) -> Sequence[str]:
        """As `Target.notes`."""
        return tuple(self._notes)

    @property
    def done(self) -> str:
        """As `Gradual.done`."""
        words = {"made": "the collection {1} was made", "dropped": "the collection {1} was dropped"}
        told = []
        for (what, name), count in self._done.items():
            points = f"{count:,} point{'s were' if count != 1 else ' was'} {what} in {name}"
            told.append(words[what].format(what, name) if what in words else points)
        return ", ".join(told)

    def begin(
        self, definition: Mapping[str, Any], work: Sequence[Work], *, privileges: bool = True, trusted: bool = True
    ) -> None:
        """As `Target.begin`: collections that are to be made anew are dropped, those that are missing made."""
        self._work = work
        made = [one.table for one in work if not one.exists or one.recreate]
        for one in work:
            self._check(one)
        there = set(list_collections(self._session))
        for one in work:
            name = one.table.definition["name"]
            if one.recreate and one.exists:
                drop_collection(self._session, name)
                self._tell("dropped", one.table.name, 1)
            elif not one.exists and name in there:
                raise Conflict(
                    f"{one.table.name} was made by somebody else meanwhile; it is left as it is",
                    hint="Make a new plan with --dry-run.",
                )
        for table in made:
            self._notes += make_collection(self._session, table)
            self._tell("made", table.name, 1)

    def _check(self, work: Work) -> None:
        """Refuse what could not come back as it was, before anything is changed."""
        held = normalised_columns(work.table) & {column.name for column in work.table.columns}
        wanted = held if work.inserts else held & work.updates
        if self._session.is_local and not work.table.definition["local"] and wanted:
            raise Unsupported(
                f"{work.table.name} was taken from a server; local mode would change the last bits of its vectors "
                f"({', '.join(sorted(wanted))}: Cosine)",
                hint="Restore it into a server; docs/qdrant.md says why.",
            )

    def replaces(self, table: Table, columns: Sequence[str]) -> bool:
        """As `Target.replaces`: never, since nothing but its id is unique in a point."""
        return False

    def insert(self, table: Table, batches: Iterable[Batch]) -> int:
        """As `Target.insert`."""
        return insert_points(self._session, table, batches, self._tell)

    def update(self, table: Table, columns: Sequence[str], batches: Iterable[Batch]) -> int:
        """As `Target.update`."""
        return update_points(self._session, table, columns, batches, self._tell)

    def delete(self, table: Table, keys: Iterable[Cells]) -> int:
        """As `Target.delete`."""
        return delete_points(self._session, table, keys, self._tell)

    def finish(self) -> None:
        """As `Target.finish`: payload indexes and aliases of what was made; then the wait for green."""
        for one in self._work:
            if not one.exists or one.recreate:
                self._notes += make_indexes(self._session, one.table)
                self._notes += make_aliases(self._session, one.table)
        self._session.reopen()
        until = time.monotonic() + self._wait_seconds
        for one in self._work:
            self._wait(one.table, until)
        self._catalog = read_catalog(self._session, self._selection, absent=True)
        self._seen.clear()

    def _wait(self, table: Table, until: float) -> None:
        aliases = list_aliases(self._session)
        while (status := read_shape(self._session, table.definition["name"], aliases).status) != "green":
            if time.monotonic() >= until:
                self._notes.append(
                    f"{table.name}: the server still calls it {status}: it is optimising, and searches may be slow"
                )
                return
            time.sleep(_PAUSE_SECONDS)

    def _tell(self, what: str, name: str, count: int) -> None:
        self._done[what, name] = self._done.get((what, name), 0) + count


@contextmanager
def open_target(
    place: Place, selection: Selection, *, timeout_seconds: float, wait_seconds: float
) -> Iterator[QdrantTarget]:
    """Open a Qdrant for changes; a folder that is not there is made."""
    lenient = replace(selection, partial=True)
    with open_session(place, timeout_seconds=timeout_seconds, create=True) as session:
        catalog = read_catalog(session, lenient, absent=True)
        yield QdrantTarget(session, place, lenient, catalog, wait_seconds=wait_seconds)
