"""Snapshots as the JSON shapes of DESIGN §9, and as lines for people. Fields may be added, never changed.

app.document([snapshot_json(snapshot, tables=False) for snapshot in snapshots])
"""

from __future__ import annotations

from typing import Any

from snap_cli.context import App
from snap_cli.render import clean, count, paint, plural
from snapstore.operations.selected import is_filtered
from snapstore.repository import Snapshot, SnapshotSource, SnapshotTable
from snapstore.repository.snapshot import utc_text

__all__ = [
    "changes", "rows_in", "snapshot_json", "snapshot_place", "table_json", "tell_held", "tell_missing", "tell_moved",
    "tell_narrowed", "words_of",
]  # fmt: skip


def rows_in(snapshot: Snapshot) -> int:
    """How many rows the snapshot holds."""
    return sum(table.rows for source in snapshot.sources for table in source.tables)


def snapshot_json(snapshot: Snapshot, *, tables: bool) -> dict[str, Any]:
    """`show`, or with `tables` False one entry of `list`."""
    return {
        "snapshot": snapshot.id,
        "time": utc_text(snapshot.time),
        "tags": list(snapshot.tags),
        "description": snapshot.description,
        "host": snapshot.host,
        "pinned": snapshot.pinned,
        "parent": snapshot.parent,
        "safety": snapshot.safety,
        "origin": snapshot.origin and {"repository": snapshot.origin.repository, "snapshot": snapshot.origin.snapshot},
        "rows": rows_in(snapshot),
        "bytes_added": snapshot.statistics.get("bytes_added"),
        "filtered": any(is_filtered(source.selection) for source in snapshot.sources),
        "sources": [_source_json(source, tables=tables) for source in snapshot.sources],
    }


def snapshot_place(snapshot: Snapshot) -> dict[str, Any]:
    """Where a snapshot stands in time: its id and when it was taken."""
    return {"snapshot": snapshot.id, "time": utc_text(snapshot.time)}


def _source_json(source: SnapshotSource, *, tables: bool) -> dict[str, Any]:
    """One source, with or without its tables."""
    shape: dict[str, Any] = {
        "name": source.name,
        "kind": source.kind,
        "url": source.url,
        "position": dict(source.position),
        "missing": list(source.missing),
        "filter": list(source.selection.get("filter", ())),
    }
    if tables:
        shape["tables"] = [table_json(table) for table in source.tables]
    return shape


def table_json(table: SnapshotTable) -> dict[str, Any]:
    """One table of `show`."""
    return {
        "name": table.name,
        "rows": table.rows,
        "root": table.root,
        "schema": table.schema,
        "where": table.where,
        "left_out": list(table.left_out),
        "added": table.added,
        "changed": table.changed,
        "removed": table.removed,
    }


def words_of(snapshot: Snapshot) -> str:
    """Tags, pin, and what sort of snapshot it is, in one cell."""
    words = [*snapshot.tags]
    if snapshot.pinned:
        words.append("(pinned)")
    if snapshot.safety is not None:
        words.append("(safety)")
    elif any(is_filtered(source.selection) for source in snapshot.sources):
        words.append("(filtered)")
    return clean(" ".join(words))


def tell_missing(source: SnapshotSource) -> list[str]:
    """What a snapshot was meant to hold of a source and does not, a line each: to be said loudly."""
    return [f"{source.name}: not held: {clean(one)}" for one in source.missing]


def tell_moved(source: SnapshotSource) -> list[str]:
    """Tables that were seen to change while they were read, where the engine gives no one moment: a line each."""
    return [
        f"{source.name}: {clean(name)} changed while it was read: it is of no one moment; take again when writers rest"
        for name in source.position.get("moved", ())
    ]


def tell_narrowed(source: SnapshotSource) -> list[str]:
    """What a snapshot leaves out because somebody asked for that, or since it comes and goes by itself; a line each."""
    told = []
    for reason, found in source.position.get("left_out", {}).items():
        example = "" if found["paths"] == 1 else f", {clean(found['example'])} for one"
        what = clean(found["example"]) if found["paths"] == 1 else plural(found["paths"], "path")
        told.append(f"{source.name}: left out by {clean(reason)}: {what}{example}")
    chosen = (("only the files", "only"), ("only the tables", "tables"), ("without the tables", "exclude"))
    for start, what in chosen:
        if source.selection.get(what):
            told.append(f"{source.name}: {start} {clean(', '.join(source.selection[what]))}")
    words = [str(one) for one in source.selection.get("filter", ())]
    told += [clean(one) for one in words]
    for table in source.tables:
        if table.root is None:
            told.append(f"{table.name}: only its shape is held, no rows")
        if table.left_out:
            told.append(f"{table.name}: without {plural(len(table.left_out), 'column')}: {', '.join(table.left_out)}")
        if table.where and not any(one.startswith(f"{table.name}: ") for one in words):
            told.append(f"{table.name}: only the rows where {clean(table.where)}")
    return told


def tell_held(app: App, snapshot: Snapshot, source: SnapshotSource) -> None:
    """Say what a snapshot does not hold of a source, before something else is told of it."""
    for told in tell_missing(source):
        app.warn(f"{snapshot.id[:8]}: {told}")
    for told in tell_narrowed(source):
        app.say(f"{snapshot.id[:8]}: {told}")


def changes(table: SnapshotTable) -> list[str]:
    """Added, changed and removed rows as cells."""
    return [
        paint(f"+{count(table.added)}", "green") if table.added else count(table.added),
        paint(f"~{count(table.changed)}", "yellow") if table.changed else count(table.changed),
        paint(f"-{count(table.removed)}", "red") if table.removed else count(table.removed),
    ]
