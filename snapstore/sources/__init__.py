"""Live systems that hold memory: tables, rows in key order, and changes applied to them.

    source = PostgresSource("postgresql://me@/agents")
    with source.view(Selection()) as view:
        for table in view.tables:
            for batch in view.read(table):
                ...

A source knows its engine and nothing of trees, blobs or repositories. All that one view gives is one consistent state.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Conflict
from snapstore.rows import Batch, Cells, Table

__all__ = [
    "Conversion", "Converts", "Counts", "Dated", "Gradual", "Hinting", "Lists", "Noting", "Reference", "Refers",
    "Refusal", "Selection", "Source", "Spares", "Stamped", "Target", "Trying", "View", "Work", "untrusted",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a source is meant. Tables are `schema.table`; patterns may use `*` and `?`; without a dot any schema.

    `where` maps a table name to a condition in the source's own language, `filter` says in words what people asked for
    with it; `exclude_columns` are `table.column`; `columns` maps a table name to the only ones that are meant besides
    its key. With `vectors` False vector columns are left out, with `rows` False only shapes are taken.
    `partial` allows what cannot be held to be left out by name (`View.missing`) instead of refused; `optional` lets
    `tables` name some that do not exist (a restore asks for those that do). `salvage` takes what can be read of tables
    that are damaged, from a source that can tell, and names them as missing. `only` and `ignore` choose files, as in
    .gitignore; with `attributes` their extended ones are held too.
    """

    tables: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    exclude_columns: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    filter: tuple[str, ...] = ()
    vectors: bool = True
    rows: bool = True
    partial: bool = False
    optional: bool = False
    salvage: bool = False
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    attributes: bool = False


class View(Protocol):
    """One consistent state of a source, open while its context manager is."""

    @property
    def tables(self) -> Sequence[Table]:
        """The selected tables; a table others refer to comes before them, as far as that goes."""

    @property
    def definition(self) -> Mapping[str, Any]:
        """What recreating needs beyond tables (extensions, schemas, sequences …), in plain msgpack values."""

    @property
    def position(self) -> Mapping[str, Any]:
        """Where in the source's own history this state stands, for people and for stamps, in plain msgpack values."""

    @property
    def missing(self) -> Sequence[str]:
        """What the selection means and the view leaves out: a name and the reason, for people."""

    def read(self, table: Table) -> Iterator[Batch]:
        """The rows, in ascending order of key, in batches of at most some thousands; memory is bounded."""

    def confirm(self) -> None:
        """Called after the last row: raises `Conflict` if the shape of a table changed beneath the view."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Columns of a table whose values are those of `targets` in a row of another one."""

    columns: tuple[str, ...]
    table: str
    targets: tuple[str, ...]


@runtime_checkable
class Refers(Protocol):
    """A source whose engine knows which rows refer to which."""

    def references(self, table: Table, among: Sequence[Table]) -> Sequence[Reference]:
        """What the rows of a table refer to among these, by the names they have there; none need be live."""


@runtime_checkable
class Counts(Protocol):
    """A view that can tell how many rows a table has without reading them all."""

    def count(self, table: Table) -> tuple[int, bool]:
        """How many rows `read` would give, and whether that was counted; else it is the engine's estimate."""


@runtime_checkable
class Lists(Protocol):
    """A view that knows the paths of what it would read before it reads it."""

    def paths(self) -> Iterable[bytes]:
        """Them, relative to its folder, ascending."""


@runtime_checkable
class Dated(Protocol):
    """A view whose engine can tell that a table is as it was in an earlier state.

    `since` is the `context` of the view that gave that state. Whatever the engine cannot be sure of is a doubt: too
    much costs time, too little would be a wrong snapshot. Without a doubt no row of the table has changed, unless the
    view is `Stamped`, which tells them one by one.
    """

    def context(self) -> Mapping[str, Any]:
        """What a later view needs to judge by, in plain msgpack values; asked after the last row was read."""

    def doubt(self, table: Table, since: Mapping[str, Any]) -> str:
        """Why the earlier state says nothing of this table, in words; empty if it does."""


@runtime_checkable
class Stamped(Dated, Protocol):
    """A view whose engine can tell which rows may have changed since an earlier state (DESIGN: take)."""

    def stamps(self, table: Table, since: Mapping[str, Any]) -> Generator[tuple[Cells, NDArray[np.bool_]], None, None]:
        """Every key in ascending order, with a flag for each: whether its row may have changed."""

    def read_moved(self, table: Table, since: Mapping[str, Any]) -> Generator[Batch, None, None]:
        """As `read`, only the rows that `stamps` flags."""


@runtime_checkable
class Hinting(Stamped, Protocol):
    """A stamped view whose engine also tells which large values a row has, so that a row that moved need not be read
    with those of its cells that did not.
    """

    def hints(self, table: Table) -> Table | None:
        """The shape of hints for this table: its key, and for each column that has some one of the same name.

        Hints mean the same as those of another view only where the shapes are equal. None where there are none.
        """

    def read_hinted(
        self,
        table: Table,
        hints: Table,
        since: Mapping[str, Any] | None = None,
        *,
        leave_out: bool = False,
        is_much: bool = False,
    ) -> Generator[Batch, None, None]:
        """As `read`, or `read_moved` with `since`, with the columns of the hints behind the table's own.

        With `leave_out` a cell that has a hint and was some row's already before `since` may be NULL instead. It is the
        cell that had this hint then. `is_much` says that much of the table moved.
        """


@runtime_checkable
class Noting(Hinting, Protocol):
    """A hinting view that goes by the hints themselves: what it noted beside an earlier state, row by row, says which
    rows may have changed.
    """

    def is_same(self, table: Table, since: Mapping[str, Any]) -> bool:
        """Whether the context alone says that nothing of the table changed."""

    def recall(self, table: Table, noted: Iterable[Batch]) -> None:
        """The keys and hints of the earlier state, in order of key; called before `stamps`."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a restore will do to one table, told to the target before it begins.

    `table` is its shape in the snapshot. `exists` says that it is live; `recreate` that the live one is to be dropped
    first. `inserts`, `deletes` and `updated` count rows; `updates` are the names of the columns that some update sets.
    """

    table: Table
    exists: bool
    recreate: bool = False
    inserts: int = 0
    deletes: int = 0
    updates: frozenset[str] = frozenset()
    updated: int = 0


class Target(View, Protocol):
    """A view that may be changed: locked against other writers, committed when its context manager ends without error.

    The order of calls is: `read` as wanted, `begin` once, deletes, updates, inserts, `finish` once, `read` as wanted.
    Foreign keys hold again after `finish`; user triggers do not fire. Any error rolls everything back, unless the
    target is `Gradual`.
    """

    @property
    def notes(self) -> Sequence[str]:
        """What people should know of how it was done, told after `finish`."""

    def begin(
        self, definition: Mapping[str, Any], work: Sequence[Work], *, privileges: bool = True, trusted: bool = True
    ) -> None:
        """Make what is missing (extensions, schemas, types, sequences, tables without indexes and constraints) and
        clear the way (user triggers, foreign keys that would fire, indexes dearer to keep than to rebuild).

        With `privileges` False what is made gets none of the privileges it had. Unless the definition is `trusted` none
        of the text in it is run: where something would be made it raises `untrusted`.
        """

    def replaces(self, table: Table, columns: Sequence[str]) -> bool:
        """Whether these columns can only be set by delete and insert (unique values could swap; identity always)."""

    def insert(self, table: Table, batches: Iterable[Batch]) -> int:
        """Insert rows (keys and the table's columns); returns how many. Raises `Conflict` naming a row in the way.

        Batches are gone through a second time, if they can be, to find the row that failed.
        """

    def update(self, table: Table, columns: Sequence[str], batches: Iterable[Batch]) -> int:
        """Set these columns alone, in rows found by key; `Batch.columns` are these, in this order. Returns how many."""

    def delete(self, table: Table, keys: Iterable[Cells]) -> int:
        """Delete the rows with these keys; returns how many there were."""

    def finish(self) -> None:
        """Indexes, constraints, triggers and sequences as `definition` and the tables' definitions say."""


def untrusted(names: Sequence[str]) -> Conflict:
    """The error for what would run SQL out of a snapshot that others could have written."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return Conflict(
        f"this would run SQL that stands in the snapshot, and others can write to this repository: "
        f"{', '.join(names[:_SHOWN])}{more}",
        hint="Nothing was changed. Where you know who wrote it, go on with --trust; rows alone need none.",
    )


_SHOWN = 6


@runtime_checkable
class Gradual(Protocol):
    """A target of an engine without transactions: what is done stays done, whatever comes after."""

    @property
    def done(self) -> str:
        """What was changed so far, in words; empty while nothing was."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that a target does not take, and why, in the engine's words."""

    table: str
    key: bytes
    reason: str


@runtime_checkable
class Trying(Target, Protocol):
    """A target that can tell the rows its engine refuses from those it takes (decision 19)."""

    def trying(self, refused: Callable[[Refusal], None]) -> AbstractContextManager[Callable[[Refusal], None]]:
        """Within it a row that is refused for what is in it is told and left out, and the others go on; it counts as
        done. Other errors are raised as ever.

        `begin` and all that follows happen within. At the end everything done within is undone if some row was told,
        as if it had never been tried, and stands if none was. It gives what tells it of a row that somebody else found.
        """

    def dangling(self) -> Iterable[Refusal]:
        """The rows that refer to rows that are not there, of the tables in work; asked before `finish`.

        Where an engine lets rows refer to nothing, only those that refer to a row that it refused.
        """


@runtime_checkable
class Spares(Protocol):
    """A source whose targets are `Trying`."""

    @property
    def spares_rows(self) -> bool:
        """Whether they are."""


class Source(Protocol):
    """A live system under a URL."""

    kind: str

    @property
    def url(self) -> str:
        """Without a password, fit for a manifest and for people."""

    def view(self, selection: Selection) -> AbstractContextManager[View]:
        """Open one consistent state. Raises `Unavailable`, `Invalid`, or `Unsupported` naming what is not held."""

    def target(self, selection: Selection) -> AbstractContextManager[Target]:
        """Open one consistent state for reading and changing, locked against other writers."""

    def matching(self, table: Table, where: str) -> AbstractContextManager[Callable[[Batch], NDArray[np.bool_]]]:
        """Asks the engine which rows of a batch meet a condition: rows that need not be live, of the table's shape.

        The table itself is neither read nor locked against anybody. Raises `Invalid` naming a condition that is none.
        """


class Conversion(Protocol):
    """How cells of a snapshot become cells of a live table; open while its context manager is."""

    @property
    def table(self) -> Table:
        """The snapshot's table with the live types of the columns that both have."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns whose cells are turned; `turn` takes these with nothing spilled."""

    @property
    def lost(self) -> Mapping[str, int | None]:
        """For each of them, how many cells so far would be others if turned back; None where nobody can tell."""

    @property
    def notes(self) -> Mapping[str, str]:
        """What people should know of how the cells of a column are turned, by its name."""

    def turn(self, batch: Batch, refused: Callable[[Refusal], None] | None = None) -> Batch:
        """The same rows as rows of `table`. Raises `Unsupported` naming a row whose cells cannot be turned; where
        `refused` can be told of such rows they are left out instead.
        """


@runtime_checkable
class Converts(Protocol):
    """A source whose engine turns values of one type into another as it does when they are assigned to a column."""

    def converting(self, table: Table, live: Table) -> AbstractContextManager[Conversion]:
        """Turns rows of a snapshot's table into rows of the live one, where both have one key in name.

        Raises `Unsupported` in the engine's words where it does not do that.
        """
