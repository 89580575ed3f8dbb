"""`snap diff`: what changed between two snapshots, or one and the live rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import click

from snap_cli.completing import live_or_snapshot_names, source_names
from snap_cli.context import App, command
from snap_cli.differing import row_documents, row_lines
from snap_cli.ignoring import check_ignored, ignore_options, ignored_by, tell_ignored
from snap_cli.manifests import tell_held
from snap_cli.names import keys_by_table
from snap_cli.render import clean, columns, count, paint, plural
from snap_cli.sources import live_sources
from snapstore.errors import Invalid
from snapstore.operations.diff import TableDiff, diff
from snapstore.operations.livestate import live_state
from snapstore.operations.named import narrow
from snapstore.operations.state import LIVE, State, of_snapshot
from snapstore.repository import Repository, Snapshot, resolve

__all__ = ["compare", "diff_command", "diff_options", "difference_document", "tell_difference"]

Function = TypeVar("Function", bound=Callable[..., Any])

_DIFFERENT = 1


def diff_options(function: Function) -> Function:
    """The options that diff and status share."""
    for decorate in reversed(
        [
            click.option(
                "--source",
                metavar="URL|NAME",
                shell_complete=source_names,
                help="The live source, or one of the snapshot's by name.",
            ),
            click.option(
                "--to",
                metavar="URL|NAME",
                shell_complete=source_names,
                help="The live source [SNAP_SOURCE, or as recorded].",
            ),
            click.option("--table", "tables", multiple=True, metavar="PATTERN", help="Only these tables."),
            click.option("--key", "keys", multiple=True, metavar="TABLE:KEY", help="Only the row with this key."),
            ignore_options,
            click.option("--rows", is_flag=True, help="Every row, field by field."),
            click.option("--stat", is_flag=True, help="Only numbers, one line a table."),
            click.option("--exit-code", is_flag=True, help="Exit 1 if anything differs."),
        ]
    ):
        function = decorate(function)
    return function


@command("diff", example="snap diff latest~1 latest\nsnap diff latest live --rows --table memories")
@click.argument("before", metavar="SNAP", shell_complete=live_or_snapshot_names)
@click.argument("after", metavar="SNAP", shell_complete=live_or_snapshot_names)
@diff_options
@click.pass_context
def diff_command(
    context: click.Context,
    /,
    before: str,
    after: str,
    source: str | None,
    to: str | None,
    tables: tuple[str, ...],
    keys: tuple[str, ...],
    **shown: Any,
) -> None:
    """Show what changed from one snapshot to another. Either may be `live`.

    By table: rows added, removed and changed, and changed cells by column.
    """
    app: App = context.obj
    if before == after == LIVE:
        raise Invalid("live is compared with itself", hint="Name a snapshot on one side: `snap diff latest live`.")
    repository = app.repository()
    snapshots = repository.snapshots()
    old, new = (None if name == LIVE else resolve(snapshots, name) for name in (before, after))
    compare(context, repository, old, new, source=source, to=to, tables=tables, keys=keys, **shown)


def compare(
    context: click.Context,
    repository: Repository,
    before: Snapshot | None,
    after: Snapshot | None,
    *,
    source: str | None,
    to: str | None,
    tables: Sequence[str],
    keys: Sequence[str],
    rows: bool,
    stat: bool,
    exit_code: bool,
    ignore_columns: Sequence[str] = (),
    all_columns: bool = False,
) -> None:
    """Print the difference; None stands for the live rows."""
    app: App = context.obj
    held = before or after
    assert held is not None
    with ExitStack() as stack:
        old, new = _states(app, repository, before, after, source, to, stack)
        names = {table.source for table in (*old.tables, *new.tables)}
        ignored = ignored_by(app, names, ignore_columns, all_columns=all_columns)
        check_ignored(ignore_columns, (*old.tables, *new.tables))
        old, new = old.ignoring(ignored), new.ignoring(ignored)
        old, new = narrow([old, new], tables)
        wanted = keys_by_table([old, new], keys, f"{old.label} or {new.label}") if keys else None
        found = list(_diffs(old, new, wanted))
        for one in {own.id: own for own in (before, after) if own is not None}.values():
            for own in one.sources:
                tell_held(app, one, own)
        if app.json:
            documents = partial(row_documents, old, new, wanted) if rows else None
            app.document(difference_document(before, after, found, rows=documents))
        else:
            lines = partial(row_lines, old, new, wanted) if rows else None
            tell_difference(app, old.label, new.label, found, rows=lines, stat=stat)
        if told := tell_ignored((one.name, one.ignored) for one in found):
            app.say(told)
    if exit_code and any(not one.is_equal for one in found):
        context.exit(_DIFFERENT)


def _states(
    app: App,
    repository: Repository,
    before: Snapshot | None,
    after: Snapshot | None,
    source: str | None,
    to: str | None,
    stack: ExitStack,
) -> list[State]:
    if before is not None and after is not None:
        return [of_snapshot(repository, one, source) for one in (before, after)]
    held = before or after
    assert held is not None
    found = live_sources(app, repository, held, source=source, to=to)
    with app.progress() as progress:
        now = live_state(repository, held, found, stack, progress)
    for told in now.missing:
        if all(told not in source.missing for source in held.sources):
            app.warn(f"live: not held: {clean(told)}")
    chosen = found[0][0].name if len(found) == 1 else None
    then = of_snapshot(repository, held, chosen)
    return [then, now] if after is None else [now, then]


def _diffs(old: State, new: State, wanted: Mapping[str, Sequence[bytes]] | None) -> Iterator[TableDiff]:
    if wanted is None:
        yield from diff(old, new)
        return
    for name, own in wanted.items():
        yield from diff(*_only(old, new, name), keys=own)


def _only(old: State, new: State, name: str) -> tuple[State, State]:
    first, second = (
        replace(state, tables=tuple(table for table in state.tables if table.name == name)) for state in (old, new)
    )
    return first, second


def tell_difference(
    app: App,
    before: str,
    after: str,
    found: Sequence[TableDiff],
    *,
    rows: Callable[[TableDiff], Iterator[str]] | None = None,
    stat: bool = False,
) -> None:
    """Print what was found between these two, as text."""
    different = [one for one in found if not one.is_equal]
    if not different:
        app.out(f"no differences between {before} and {after} in {plural(len(found), 'table')}")
        return
    several = len({one.source for one in found}) > 1
    if stat:
        shown = [["table", "added", "removed", "changed", "cells"]]
        for one in different:
            cells = sum(one.columns.values())
            label = f"{one.source}: {one.name}" if several else one.name
            shown.append([label, count(one.added), count(one.removed), count(one.changed), count(cells)])
        app.out(columns(shown, right={1, 2, 3, 4}, indent=0))
        return
    app.out(f"from {before} to {after}:")
    for one in different:
        for line in _lines(one, several):
            app.out(line)
        for line in rows(one) if rows else ():
            app.out(line)
    same = len(found) - len(different)
    if same:
        app.out(f"{plural(same, 'table')} without differences")


def _lines(one: TableDiff, several: bool) -> Iterator[str]:
    label = f"{one.source}: {one.name}" if several else one.name
    numbers = [
        paint(f"+{count(one.added)}", "green") if one.added else "",
        paint(f"-{count(one.removed)}", "red") if one.removed else "",
        paint(f"~{count(one.changed)}", "yellow") if one.changed else "",
    ]
    told = " ".join(number for number in numbers if number) or "no rows differ"
    where = {"before": "  (the table is gone)", "after": "  (a new table)"}.get(one.only, "")
    yield f"  {paint(label, 'bold')}  {told}{where}"
    if one.columns:
        cells = ", ".join(f"{clean(name)} {count(number)}" for name, number in one.columns.items())
        yield f"      changed cells: {cells}"
    for words in one.shape:
        yield f"      shape: {clean(words)}"


def difference_document(
    before: Snapshot | None,
    after: Snapshot | None,
    found: Sequence[TableDiff],
    *,
    rows: Callable[[TableDiff], Iterator[dict[str, Any]]] | None = None,
) -> dict[str, Any]:
    """What was found, as `snap diff --json` prints it; None stands for the live rows."""
    tables = []
    for one in found:
        shape: dict[str, Any] = {
            "source": one.source,
            "name": one.name,
            "added": one.added,
            "removed": one.removed,
            "changed": one.changed,
            "columns": dict(one.columns),
            "shape": list(one.shape),
            "only": one.only or None,
            "ignored": list(one.ignored),
        }
        if rows:
            shape["rows"] = list(rows(one))
        tables.append(shape)
    labels = {"from": before.id if before else LIVE, "to": after.id if after else LIVE}
    return {**labels, "tables": tables}
