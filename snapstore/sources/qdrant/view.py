"""A Qdrant as far as a selection goes, read point by point.

    with open_view(place, Selection(), timeout_seconds=30) as view:
        for batch in view.read(view.tables[0]):
            ...

The engine has no transactions for readers. So points are seen twice, and whether the second time gave what the first
did is part of the position. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from snapstore.errors import NotFound
from snapstore.rows import Batch, Table
from snapstore.sources import Selection
from snapstore.sources.qdrant.catalog import Catalog, read_catalog
from snapstore.sources.qdrant.connection import Place, Session, in_memory, open_session
from snapstore.sources.qdrant.reading import Surveyor, condition_of, read_points

__all__ = ["QdrantView", "open_view"]


class QdrantView:
    """The `View` over a session. Made by `open_view`."""

    def __init__(
        self, session: Session, place: Place, selection: Selection, catalog: Catalog, missing: tuple[str, ...] = ()
    ) -> None:
        self._session = session
        self._place = place
        self._selection = selection
        self._catalog = catalog
        self._missing = missing
        self._began = _now()
        self._moved: set[str] = set()
        self._seen: set[str] = set()

    @property
    def tables(self) -> Sequence[Table]:
        """The selected collections, by name."""
        return self._catalog.tables

    @property
    def definition(self) -> Mapping[str, Any]:
        """Nothing: a collection's definition has all of it, aliases too."""
        return {}

    @property
    def position(self) -> Mapping[str, Any]:
        """Which Qdrant, when it was read, what it said of each collection, and which were seen to change meanwhile."""
        if not self._place.host and self._missing:
            server = "none"
        elif self._session.is_local:
            server = "local mode"
        else:
            server = str(self._session.request("it cannot be asked for its version", "GET", "/").get("version", ""))
        return {
            "server": server,
            "collections": {name: dict(state) for name, state in self._catalog.states.items()},
            "read": {"began": self._began, "ended": _now()},
            "consistency": "each point is of one moment, a collection is not: Qdrant has no transactions for readers",
            "moved": sorted(self._moved),
        }

    @property
    def missing(self) -> Sequence[str]:
        """What is selected and not held, and why."""
        return (*self._catalog.missing, *self._missing)

    def read(self, table: Table) -> Iterator[Batch]:
        """The points of a collection, in ascending order of id, about 4 MB at once."""
        where = self._selection.where.get(table.name)
        condition = None if where is None else condition_of(table.name, where)
        surveyor = Surveyor()
        try:
            yield from read_points(self._session, table, where=condition, surveyor=surveyor)
        except NotFound as error:
            raise NotFound(f"{table.name} is gone: {error.message}", hint=error.hint) from error
        before = self._catalog.surveys.get(table.name)
        if before is not None and table.name not in self._seen and before.digest != surveyor.survey.digest:
            self._moved.add(table.name)
        self._seen.add(table.name)

    def confirm(self) -> None:
        """Nothing to do: a collection cannot change its vectors beneath a reader without an error."""


@contextmanager
def open_view(place: Place, selection: Selection, *, timeout_seconds: float) -> Iterator[QdrantView]:
    """Open a view; where the selection is optional a folder that is not there has nothing."""
    folder = place.folder
    if folder is not None and selection.optional and not (folder / "meta.json").exists():
        session = in_memory()
        try:
            catalog = read_catalog(session, selection, absent=True)
            yield QdrantView(session, place, selection, catalog, (f"there is no Qdrant in {folder}",))
        finally:
            session.close()
        return
    with open_session(place, timeout_seconds=timeout_seconds) as session:
        yield QdrantView(session, place, selection, read_catalog(session, selection, absent=selection.optional))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
