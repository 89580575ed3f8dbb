"""`snap log`: one row through all snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import click

from snap_cli.cells import change_json, change_text, key_text
from snap_cli.completing import source_names
from snap_cli.context import App, command
from snap_cli.manifests import snapshot_place
from snap_cli.names import table_and_key
from snap_cli.render import clean, moment, paint, plural
from snapstore.errors import Invalid, NotFound
from snapstore.operations.chain import Chain, between, chains
from snapstore.operations.log import Event, FieldChange, RowHistory, log
from snapstore.operations.rowvalues import keys_of, rows_of
from snapstore.repository import Snapshot
from snapstore.repository.resolve import parse_moment, start_of
from snapstore.rows import Cells
from snapstore.sources.display import display, shorten
from snapstore.tree import Fetch
from snapstore.tree.values import resolve

__all__ = ["log_command", "times"]

_SHOWN_UNKNOWN = 3
_MARKS = {
    "appeared": ("+", "green"),
    "returned": ("+", "green"),
    "vanished": ("-", "red"),
    "changed": ("~", "yellow"),
}


def times(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """The moments that `--since` and `--until` mean: from the start of one to the end of the other."""
    return (start_of(since) if since else None, parse_moment(until) if until else None)


@command("log", example="snap log memories:17\nsnap log memories:17 --column content --since 2026-01-31")
@click.argument("row", metavar="TABLE:KEY")
@click.option("--source", metavar="NAME", shell_complete=source_names, help="Of several sources, this one.")
@click.option("--since", metavar="DATE", help="Only snapshots taken on this day or later.")
@click.option("--until", metavar="DATE", help="Only snapshots taken on this day or earlier.")
@click.option("--column", "columns", multiple=True, metavar="NAME", help="Only changes of this column.")
@click.pass_obj
def log_command(
    app: App, row: str, source: str | None, since: str | None, until: str | None, columns: tuple[str, ...]
) -> None:
    """Show the history of one row: when it appeared, each change, when it vanished and came back.

    Each is told with the last snapshot before it and the first one after it. A snapshot that held only some rows, or
    not this table, is not taken for a deletion: such snapshots are named at the end.
    """
    repository = app.repository()
    there = between(repository.snapshots(), *times(since, until))
    if not there:
        raise NotFound("there are no snapshots to look at", hint="`snap list` shows those there are.")
    found = [one for one in chains(there) if source is None or one.source == source]
    chain, key = _chain(found, row)
    if key is None:
        raise Invalid(f"{row!r} is not TABLE:KEY", hint=f"For example `snap log {chain.name}:17`.")
    history = log(repository, chain, key)
    for name in columns:
        _check_column(history, name)
    events = [one for one in (_only(event, columns) for event in history.events) if one is not None]
    if app.json:
        app.document(_document(history, events, repository.blobs))
    else:
        for line in _lines(history, events, repository.blobs):
            app.out(line)
    others = [one for one in found if one.elsewhere and one.name == chain.name]
    if others:
        app.say(f"passed over: {plural(len(others), 'other database')} into which {clean(chain.source)} was restored")


def _chain(found: Sequence[Chain], row: str) -> tuple[Chain, str | None]:
    own = [chain for chain in found if not chain.elsewhere]
    return table_and_key(own, row, "the snapshots")


def _check_column(history: RowHistory, name: str) -> None:
    known = {column.name for column in history.table.columns}
    known |= {field.name for event in history.events for field in event.fields}
    if name not in known:
        raise Invalid(f"no column {name!r} in {history.table.name}", hint=f"It has: {', '.join(sorted(known))}.")


def _only(event: Event, columns: Sequence[str]) -> Event | None:
    """The event with changes of these columns only; none if nothing of it is left."""
    if not columns or event.what != "changed":
        return event
    fields = tuple(field for field in event.fields if field.name in columns)
    return Event(event.what, event.before, event.after, event.table, event.row, fields) if fields else None


def _lines(history: RowHistory, events: Sequence[Event], fetch: Fetch) -> Iterator[str]:
    key = key_text(keys_of(history.table.key, Cells.of([history.key], width=history.table.key_width))[0])
    label = f"{paint(history.table.name, 'bold')} {paint(key, 'bold')} of {clean(history.source)}"
    yield f"{label}: in {history.held:,} of {plural(history.looked_at, 'snapshot')}"
    for event in events:
        mark = paint(_MARKS[event.what][0], _MARKS[event.what][1])
        before = event.before.id[:8] if event.before else "(first)"
        yield f"{mark} {moment(event.after.time)}  {before} → {event.after.id[:8]}  {event.what}"
        if event.row is not None and event.what != "vanished":
            own, row = next(rows_of(event.table, event.row, fetch))
            for name, value in row.items():
                if name not in own:
                    yield f"    {clean(name)}: {shorten(value, width=76)}"
        for field in event.fields if event.what == "changed" else ():
            for line in _field_lines(field, fetch):
                yield f"    {line}"
    last = f"{history.last.id[:8]} of {moment(history.last.time)}"
    yield f"{'it is there' if history.is_there else 'it is gone'} in the newest snapshot, {last}"
    if history.unknown:
        yield f"{plural(len(history.unknown), 'snapshot')} cannot say whether it was there:"
        for one in history.unknown[:_SHOWN_UNKNOWN]:
            yield f"  {one.snapshot.id[:8]} of {moment(one.snapshot.time)}: {clean(one.why)}"
        if len(history.unknown) > _SHOWN_UNKNOWN:
            yield f"  … and {len(history.unknown) - _SHOWN_UNKNOWN:,} more (--json has them all)"


def _field_lines(field: FieldChange, fetch: Fetch) -> list[str]:
    before, after = (_cell(cells, fetch) for cells in (field.before, field.after))
    old, new = field.column_before, field.column_after
    if old is not None and old == new:
        return change_text(old, before, after)
    words = [
        "(no such column)" if column is None else f"{shorten(_value(column, cell))} ({clean(column.type)})"
        for column, cell in ((old, before), (new, after))
    ]
    return [f"{clean(field.name)}: {words[0]} → {words[1]}"]


def _cell(cells: Cells | None, fetch: Fetch) -> bytes | None:
    return None if cells is None else resolve(cells, fetch)[0]


def _value(column: Any, cell: bytes | None) -> Any:
    return display(column.type, cell, stride=column.stride)


def _document(history: RowHistory, events: Sequence[Event], fetch: Fetch) -> dict[str, Any]:
    return {
        "source": history.source,
        "table": history.table.name,
        "key": keys_of(history.table.key, Cells.of([history.key], width=history.table.key_width))[0],
        "snapshots": history.looked_at,
        "held": history.held,
        "is_there": history.is_there,
        "first": snapshot_place(history.first),
        "last": snapshot_place(history.last),
        "events": [_event(event, fetch) for event in events],
        "unknown": [{**snapshot_place(one.snapshot), "why": one.why} for one in history.unknown],
    }


def _event(event: Event, fetch: Fetch) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "what": event.what,
        "before": _place(event.before),
        "after": snapshot_place(event.after),
        "columns": {field.name: _field(field, fetch) for field in event.fields},
    }
    if event.row is not None:
        shape["row"] = next(rows_of(event.table, event.row, fetch))[1]
    return shape


def _place(snapshot: Snapshot | None) -> dict[str, Any] | None:
    return None if snapshot is None else snapshot_place(snapshot)


def _field(field: FieldChange, fetch: Fetch) -> dict[str, Any]:
    """As a changed cell of `snap diff --rows`; of a column that changed its type, or came or went, both types."""
    before, after = (_cell(cells, fetch) for cells in (field.before, field.after))
    old, new = field.column_before, field.column_after
    if old is not None and old == new:
        return change_json(old, before, after)
    return {
        "before": None if old is None else _value(old, before),
        "after": None if new is None else _value(new, after),
        "type_before": old.type if old else None,
        "type_after": new.type if new else None,
    }
