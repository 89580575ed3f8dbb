"""`snap show`: what a snapshot holds, down to one row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from snap_cli.cells import key_text, rows_of
from snap_cli.context import App, command
from snap_cli.linking import links_json, links_of, tell_links
from snap_cli.manifests import snapshot_json, table_json, tell_missing, tell_moved, tell_narrowed
from snap_cli.names import split, table_and_key
from snap_cli.render import amount, clean, columns, count, moment, paint, plural
from snap_cli.sources import live_source, live_sources, live_state
from snapstore.errors import Corrupt, Invalid, NotFound
from snapstore.operations.condition import Condition, matching
from snapstore.operations.measure import Size, measure
from snapstore.operations.state import LIVE, StateTable, of_snapshot
from snapstore.repository import Repository, Snapshot, resolve
from snapstore.rows import Batch
from snapstore.sources import Source
from snapstore.sources.display import parse_key, shorten
from snapstore.tree.values import resolve as resolve_cells

__all__ = ["show_command"]

_FIRST_ROWS = 5
_WIDTH = 96


@command(
    "show",
    example="snap show latest\nsnap show latest:memories\nsnap show latest:public.memories:17 --json\n"
    "snap show @2026-01-31:memories --where 'heat > 0.5'",
)
@click.argument("name", metavar="SNAP[:TABLE[:KEY]]")
@click.option("--source", metavar="NAME", help="Of several sources in the snapshot, this one.")
@click.option("--to", metavar="URL|NAME", help="With `live`, and to ask with --where: the live source.")
@click.option("--where", metavar="CONDITION", help="Of a table, the rows that meet this.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="With --where: rows to show.")
@click.pass_obj
def show_command(app: App, name: str, source: str | None, to: str | None, where: str | None, limit: int) -> None:
    """Show a snapshot, a table of it, or one row. `live:TABLE:KEY` shows a live row.

    A key of several columns is written `a,b`, in the order of the primary key; with "…" around what has a comma.

    --where compares columns with values: `heat > 0.5 AND client = 'ann' AND note IS NOT NULL`, and nothing else; texts
    are equal or not. With --to the database there is asked, and any condition it understands will do.
    """
    repository = app.repository()
    label, rest = split(name)
    snapshots = repository.snapshots()
    snapshot = resolve(snapshots, "latest" if label == LIVE else label)
    if where is not None and not rest:
        raise Invalid("--where chooses rows of a table", hint=f"Name one: `snap show {label}:TABLE --where …`.")
    if label != LIVE and not rest:
        _snapshot(app, repository, snapshot)
        return
    with ExitStack() as stack:
        if label == LIVE:
            found = live_sources(app, repository, snapshot, source=source, to=to)
            with app.progress() as progress:
                tables = live_state(repository, snapshot, found, stack, progress).tables
        else:
            tables = of_snapshot(repository, snapshot, source).tables
            label = snapshot.id[:8]
        if not rest:
            _live(app, tables)
            return
        table, key = table_and_key(tables, rest, label)
        if where is not None:
            if key is not None:
                raise Invalid("--where chooses rows of a table, and a key names one row", hint="Leave one of them out.")
            held = next((own for own in snapshot.sources if own.name == table.source), None)
            asked = (
                live_source(app, held, to, trusted=app.trusts(repository))
                if held is not None and to is not None
                else None
            )
            _where(app, snapshot if label != LIVE else None, table, where, limit, asked)
        elif key is None:
            _table(app, snapshot if label != LIVE else None, table)
        else:
            _row(app, repository, snapshot if label != LIVE else None, table, key)


def _sizes(app: App, repository: Repository, snapshot: Snapshot) -> dict[tuple[str, str], Size]:
    """The size of each table by source and name; without those that cannot be read, which is said."""
    sizes = {}
    for source in snapshot.sources:
        for table in source.tables:
            try:
                sizes[source.name, table.name] = measure(repository.blobs, table)
            except (Corrupt, NotFound) as error:
                app.warn(f"{table.name} cannot be measured: {error.message} (`snap verify` shows what is harmed)")
    return sizes


def _snapshot(app: App, repository: Repository, snapshot: Snapshot) -> None:
    for source in snapshot.sources:
        for told in (*tell_missing(source), *tell_moved(source)):
            app.warn(told)
    sizes = _sizes(app, repository, snapshot)
    links = links_of(app, repository, snapshot)
    if app.json:
        shape = snapshot_json(snapshot, tables=True)
        for source_shape in shape["sources"]:
            for table_shape in source_shape["tables"]:
                size = sizes.get((source_shape["name"], table_shape["name"]))
                table_shape["bytes"] = size.plain_bytes if size else None
                table_shape["bytes_stored"] = size.stored_bytes if size else None
        app.document({**shape, "links": links_json(links)})
        return
    app.out(f"snapshot {paint(snapshot.id, 'bold')}")
    facts = [("taken", f"{moment(snapshot.time)} UTC on {snapshot.host or 'an unnamed host'} by {snapshot.program}")]
    facts += [("tags", " ".join(snapshot.tags))] if snapshot.tags else []
    facts += [("about", snapshot.description)] if snapshot.description else []
    facts += [("pinned", "gc keeps it")] if snapshot.pinned else []
    facts += [("parent", snapshot.parent[:8])] if snapshot.parent else []
    facts += [("safety", f"the state before the restore of {snapshot.safety[:8]}")] if snapshot.safety else []
    if snapshot.origin:
        facts.append(("copy", f"of {snapshot.origin.snapshot[:8]} in the repository {snapshot.origin.repository[:8]}"))
    numbers = snapshot.statistics
    if isinstance(numbers.get("bytes_added"), int):
        facts.append(("cost", f"{amount(numbers['bytes_added'])} stored, {amount(numbers.get('bytes_read', 0))} read"))
    for word, told in facts:
        app.out(f"  {word:<7} {clean(told)}")
    for source in snapshot.sources:
        app.out(f"{paint(source.name, 'bold')}  {clean(source.kind)}  {clean(source.url)}")
        shown = [["table", "rows", "size", "stored", "added", "changed", "removed"]]
        for table in source.tables:
            size = sizes.get((source.name, table.name))
            bytes_of = [amount(size.plain_bytes), amount(size.stored_bytes)] if size else ["?", "?"]
            numbers_of = [count(one) for one in (table.added, table.changed, table.removed)]
            shown.append([table.name, count(table.rows), *bytes_of, *numbers_of])
        app.out(columns(shown, right=range(1, 7)))
        for told in tell_narrowed(source):
            app.out(f"  {told}")
        if source.position.get("consistency"):
            app.out(f"  {clean(source.position['consistency'])}")
    for told in tell_links(links):
        app.out(told)


def _live(app: App, tables: Sequence[StateTable]) -> None:
    if app.json:
        by_source: dict[str, list[StateTable]] = {}
        for table in tables:
            by_source.setdefault(table.source, []).append(table)
        sources = [
            {"name": name, "kind": own[0].kind, "position": {}, "tables": [table_json(one.entry) for one in own]}
            for name, own in by_source.items()
        ]
        app.document({"snapshot": LIVE, "time": None, "tags": [], "description": "", "sources": sources})
        return
    rows = [[table.source, table.name, count(table.entry.rows)] for table in tables]
    app.out(columns([["source", "table", "rows"], *rows], right={2}, indent=0))


def _table(app: App, snapshot: Snapshot | None, table: StateTable) -> None:
    shape = table.table
    first: Batch | None = None
    if table.tree is not None:
        first = next((batch.slice(0, min(len(batch), _FIRST_ROWS)) for batch in table.tree.rows()), None)
    samples = [] if first is None else list(rows_of(shape, first, table.fetch))
    if app.json:
        app.document(
            {
                "snapshot": snapshot.id if snapshot else LIVE,
                "source": table.source,
                "table": {
                    **table_json(table.entry),
                    "key": [{"name": part.name, "type": part.type} for part in shape.key if part.name],
                    "columns": [{"name": column.name, "type": column.type} for column in shape.columns],
                },
                "first_rows": [row for _, row in samples],
            }
        )
        return
    app.out(f"{paint(table.name, 'bold')} of {clean(table.source)}: {plural(table.entry.rows, 'row')}")
    key = {part.name for part in shape.key}
    declared = {one["name"]: one["type"] for one in shape.definition.get("columns", ())}
    listed = [[part.name, declared.get(part.name, part.type), "key"] for part in shape.key if part.name]
    listed += [[own.name, declared.get(own.name, own.type), ""] for own in shape.columns if own.name not in key]
    listed += [[name, "", "not held"] for name in table.entry.left_out]
    app.out(columns([["column", "type", ""], *listed]))
    if shape.by_content:
        app.out("no key: rows are known by what is in them, and counted")
    if samples:
        app.out(f"the first {plural(len(samples), 'row')}:")
    for line in _row_lines(samples):
        app.out(line)


def _where(
    app: App, snapshot: Snapshot | None, table: StateTable, where: str, limit: int, asked: Source | None
) -> None:
    """The first rows that meet the condition, and how many there are."""
    if table.tree is None:
        raise NotFound(f"{table.name} is held without rows, only its shape")
    total = 0
    rows: list[tuple[dict[str, Any], dict[str, Any]]] = []
    with ExitStack() as stack:
        if asked is None:
            found = matching(table, Condition(table.table, where))
        else:
            found = _asking(table, stack.enter_context(asked.matching(table.table, where)))
        for batch in found:
            total += len(batch)
            rows += rows_of(table.table, batch.slice(0, min(len(batch), limit - len(rows))), table.fetch)
    if app.json:
        app.document(
            {
                "snapshot": snapshot.id if snapshot else LIVE,
                "source": table.source,
                "table": table.name,
                "where": where,
                "matching": total,
                "rows": [row for _, row in rows],
            }
        )
        return
    for line in _row_lines(rows):
        app.out(line)
    more = f", of which {plural(len(rows), 'is', 'are')} shown (--limit)" if total > len(rows) else ""
    app.say(f"{plural(total, 'row')} of {count(table.entry.rows)} where {clean(where)}{more}")


def _asking(table: StateTable, meets: Callable[[Batch], NDArray[np.bool_]]) -> Iterator[Batch]:
    assert table.tree is not None
    for batch in table.tree.rows():
        whole = Batch(batch.keys, tuple(resolve_cells(cells, table.fetch) for cells in batch.columns))
        yield batch.take(np.flatnonzero(meets(whole)))


def _row_lines(rows: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> Iterator[str]:
    for own, row in rows:
        told = "  ".join(f"{name}={shorten(value, width=32)}" for name, value in row.items() if name not in own)
        key_words = shorten(key_text(own))
        yield f"  {paint(key_words, 'bold')}  {shorten(told, width=max(16, _WIDTH - len(key_words)))}"


def _row(app: App, repository: Repository, snapshot: Snapshot | None, table: StateTable, text: str) -> None:
    label = snapshot.id[:8] if snapshot else LIVE
    if table.tree is None:
        raise NotFound(f"{label} holds no rows of {table.name}, only its shape")
    found = list(rows_of(table.table, table.tree.lookup([parse_key(table.table, text)]), table.fetch))
    if not found:
        raise NotFound(
            f"there is no row {text!r} in {table.name} of {label}", hint=f"`snap show {label}:{table.name}` shows some."
        )
    key, row = found[0]
    if app.json:
        shape: dict[str, Any] = {"snapshot": snapshot.id if snapshot else LIVE, "source": table.source}
        app.document({**shape, "table": table.name, "key": key, "row": row})
        return
    app.out(f"{paint(table.name, 'bold')} {clean(key_text(key))} in {label}")
    widest = max(len(name) for name in row)
    for name, value in row.items():
        if isinstance(value, str):
            lines = clean(value, lines=True).split("\n")
            app.out(f"  {clean(name):<{widest}}  " + f"\n  {'':<{widest}}  ".join(lines))
        else:
            app.out(f"  {clean(name):<{widest}}  {shorten(value, width=76)}")
