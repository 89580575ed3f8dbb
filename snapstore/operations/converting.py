"""A snapshot's tables as a live database can take them: in the types it has by now, or without some columns.

    with in_live_types(repository, wanted, live_state, source, scope) as wanted:
        make_plan(live_state, wanted, mode)

The engine turns the cells (`snapstore.sources.Converts`); the rows go into trees of a scratch store, and from there on
nothing knows that they were others. A table is turned as a whole, whatever rows of it are meant.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager

from snapstore.blobs.store import BlobStore
from snapstore.errors import Invalid, Unsupported
from snapstore.keys import is_ascending
from snapstore.operations.drift import of_other_types
from snapstore.operations.scope import Scope
from snapstore.operations.state import State, StateTable, scratch
from snapstore.repository import Repository
from snapstore.rows import Batch, Cells, Table
from snapstore.sources import Conversion, Converts, Refusal, Source, untrusted
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.node import encode_schema
from snapstore.tree.values import portions

__all__ = ["in_live_types", "without_columns"]


@contextmanager
def without_columns(repository: Repository, wanted: State, names: Collection[str]) -> Iterator[State]:
    """The wanted state as if it had been taken without these columns (`schema.table.column`).

    Raises `Invalid` for one that is not there or part of a key.
    """
    left = set(names)
    with ExitStack() as stack:
        store: BlobStore | None = None
        tables = []
        for table in wanted.tables:
            columns = {column.name for column in table.table.columns if f"{table.name}.{column.name}" in left}
            columns -= {part.name for part in table.table.key}
            left -= {f"{table.name}.{name}" for name in columns}
            if columns and table.tree is not None:
                store = store or stack.enter_context(scratch(repository))
                tables.append(_without(table, columns, store))
            else:
                tables.append(table)
        for name in sorted(left):
            raise Invalid(
                f"there is no column {name} to leave out of the restore",
                hint="columns are written schema.table.column; those of a key cannot be left out",
            )
        yield dataclasses.replace(wanted, tables=tuple(tables))


def _without(wanted: StateTable, columns: set[str], store: BlobStore) -> StateTable:
    assert wanted.tree is not None
    held, was = [one for one in wanted.table.columns if one.name not in columns], wanted.table.definition
    left_out = {*was.get("left_out", ()), *columns}
    names = [*(one["name"] for one in was.get("columns", ())), *(one.name for one in wanted.table.columns)]
    listed = [name for name in dict.fromkeys(names) if name in left_out]
    table = dataclasses.replace(wanted.table, columns=tuple(held), definition={**was, "left_out": listed})
    with store.writer(os.urandom(16), verify=False) as writer:
        root = wanted.tree.without(columns, table, writer)
        writer.close()
    schema = store.naming.digest(encode_schema(table))
    entry = dataclasses.replace(wanted.entry, root=root, schema=schema, left_out=tuple(listed))
    return StateTable(wanted.source, wanted.kind, entry, store, damage=wanted.damage, ignoring=wanted.ignoring)


@contextmanager
def in_live_types(
    repository: Repository,
    wanted: State,
    live: State,
    source: Source,
    scope: Scope,
    *,
    trusted: bool = True,
    spares: bool = False,
) -> Iterator[State]:
    """The wanted state, its tables turned into the live types where these differ and the engine does that.

    With `spares` rows that it does not turn are left out (`StateTable.unturned`), where keys stay what they are and no
    condition chooses rows.

    A table that it does not turn stays as it is, and says why (`StateTable.refusal`): the engine is given the types in
    the snapshot's words, so one that is not `trusted` is never turned.
    """
    there = {table.name: table for table in live.tables}
    with ExitStack() as stack:
        store: BlobStore | None = None
        tables = []
        for table in wanted.tables:
            now = there.get(table.name)
            if now is not None and scope.means(table.name) and _can_turn(table, now):
                if not trusted:
                    raise untrusted([f"the types of the columns of {table.name}, which are others now"])
                store = store or stack.enter_context(scratch(repository))
                is_same_key = table.table.key == now.table.key and table.name not in scope.where
                turning = _Turning(source, store, repository.cut_key, scope, spares=spares and is_same_key)
                tables.append(_turned(table, now.table, turning))
            else:
                tables.append(table)
        yield dataclasses.replace(wanted, tables=tuple(tables))


def _can_turn(wanted: StateTable, live: StateTable) -> bool:
    names = [[part.name for part in table.table.key] for table in (live, wanted)]
    by_key = names[0] == names[1] and not wanted.table.by_content
    return wanted.tree is not None and by_key and bool(of_other_types(live.table, wanted.table))


@dataclasses.dataclass(frozen=True, slots=True)
class _Turning:
    """How tables are turned: by which source, into which store, and whether rows that it does not turn are spared."""

    source: Source
    store: BlobStore
    cut_key: bytes
    scope: Scope
    spares: bool


def _turned(wanted: StateTable, live: Table, turning: _Turning) -> StateTable:
    source, store = turning.source, turning.store
    unturned: list[Refusal] = []
    try:
        if wanted.name in turning.scope.keys and wanted.table.key != live.key:
            raise Unsupported("its key has another type now: choose rows with --where instead of by key")
        if not isinstance(source, Converts):
            raise Unsupported(f"cells of another type are not converted in {source.kind}")
        with source.converting(wanted.table, live) as conversion, store.writer(os.urandom(16), verify=False) as writer:
            builder = TreeBuilder(conversion.table, turning.cut_key, writer)
            for batch in _batches(wanted, conversion, unturned.append if turning.spares else None):
                builder.add(batch)
            root = builder.finish()
            writer.close()
            schema = store.naming.digest(encode_schema(conversion.table))
            turned = {name: _words(conversion, name, builder.rows) for name in conversion.columns}
    except Unsupported as error:
        refusal = f"{wanted.name}: {error.message}"
        entry, store_of = wanted.entry, wanted.fetch
        return StateTable(
            wanted.source, wanted.kind, entry, store_of,
            refusal=refusal, damage=wanted.damage, ignoring=wanted.ignoring,
        )  # fmt: skip
    entry = dataclasses.replace(wanted.entry, root=root, schema=schema)
    return StateTable(
        wanted.source, wanted.kind, entry, store,
        was=wanted.table, turned=turned, damage=wanted.damage, ignoring=wanted.ignoring, unturned=unturned,
    )  # fmt: skip


def _batches(wanted: StateTable, conversion: Conversion, refused: Callable[[Refusal], None] | None) -> Iterator[Batch]:
    """The turned rows, whose keys must still ascend."""
    assert wanted.tree is not None
    columns = [column.name for column in wanted.table.columns]
    last: Cells | None = None
    fetches = [wanted.fetch if name in conversion.columns else None for name in columns]
    for batch in wanted.tree.rows():
        for some in portions(batch.keys, list(zip(batch.columns, fetches, strict=True))):
            turned = conversion.turn(some, refused)
            if conversion.table.key != wanted.table.key:
                if not is_ascending(turned.keys if last is None else Cells.concat([last, turned.keys])):
                    raise Unsupported(
                        "its keys, turned into the type of now, would stand in another order, or two be one"
                    )
                last = turned.keys.slice(len(turned) - 1, len(turned))
            yield turned


def _words(conversion: Conversion, name: str, rows: int) -> str:
    lost, note = conversion.lost[name], conversion.notes.get(name)
    words = f"converted; {lost:,} of {rows:,} values lose by it" if lost else "converted without loss"
    if lost is None:
        words = "converted; whether values lose by it cannot be told"
    return f"{words} ({note})" if note else words
