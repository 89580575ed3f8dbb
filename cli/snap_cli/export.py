"""`snap export`: write the rows of a snapshot, or the live ones, into files that other programs read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from snap_cli.completing import live_or_snapshot_names, source_names
from snap_cli.context import App, command
from snap_cli.render import clean, columns, count
from snap_cli.restore import conditions_by_table
from snap_cli.sources import live_sources
from snapstore.errors import Invalid
from snapstore.extras import Extra
from snapstore.operations.guess import guess_roles
from snapstore.operations.livestate import live_state
from snapstore.operations.state import LIVE, State, of_snapshot
from snapstore.repository import Repository, Snapshot, resolve
from snapstore.sources.roles import Roles

__all__ = ["export_command"]

FORMATS = ("json", "jsonl", "csv", "markdown", "parquet")


@command(
    "export",
    example="snap export latest --format json -o memories\n"
    "snap export live --format markdown -o archive --user ann\n"
    "snap export @2026-01-31 --format csv -o csv --table memories",
)
@click.argument("name", metavar="SNAP", shell_complete=live_or_snapshot_names)
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The folder to make.")
@click.option("--no-vectors", is_flag=True, help="Without vector columns (a CSV never has them).")
@click.option("--table", "tables", multiple=True, metavar="PATTERN", help="Only these tables.")
@click.option("--where", "conditions", multiple=True, metavar="[TABLE=]SQL", help="Only rows that meet a condition.")
@click.option("--user", default="", metavar="ID", help="Only memories of this user, and what relates them.")
@click.option(
    "--source", metavar="NAME", shell_complete=source_names, help="Of several sources in the snapshot, this one."
)
@click.option(
    "--to",
    metavar="URL|NAME",
    shell_complete=source_names,
    help="The live source, for `live` and --where [SNAP_SOURCE, or as recorded].",
)
@click.pass_obj
def export_command(
    app: App,
    name: str,
    form: str,
    output: Path,
    no_vectors: bool,
    tables: tuple[str, ...],
    conditions: tuple[str, ...],
    user: str,
    source: str | None,
    to: str | None,
) -> None:
    """Write the rows of a snapshot, or of `live`, into files: JSON, JSON lines, CSV, Parquet, or Markdown to read.

    Which table and columns are the memory, its content, owner, heat and relationships is found from their names, and
    said; `[sources.NAME.roles]` in snap.toml says it otherwise. `snap import` reads all but Markdown back, to the bit.
    """
    with Extra("export", "an export needs"):
        from snapstore.operations.export import Choice, export_from
        from snapstore.operations.formats import Format
    repository = app.repository()
    with ExitStack() as stack:
        snapshot, state = stack.enter_context(_state(app, repository, name, source, to))
        state = state.narrowed(tables)
        roles = guess_roles([own.table for own in state.tables], _given(app, state))
        matching = {}
        for table, condition in conditions_by_table(state.tables, tables, conditions, state.label).items():
            own = next(one for one in state.tables if one.name == table)
            (_, live), *_ = live_sources(
                app, repository, snapshot, source=own.source if len(snapshot.sources) > 1 else None, to=to
            )
            matching[table] = stack.enter_context(live.matching(own.table, condition))
        choice = Choice(not no_vectors, user, matching)
        with app.progress() as progress:
            exported = export_from(
                repository, snapshot, state, output, Format(form), choice, roles=roles, progress=progress
            )
    for told in exported.missing:
        app.warn(told)
    if app.json:
        app.document(
            {
                "folder": str(output),
                "format": form,
                "snapshot": state.label,
                "rows": dict(exported.rows),
                "files": dict(exported.files),
                "missing": list(exported.missing),
                "roles": dict(_words(roles)),
            }
        )
        return
    told_roles = ", ".join(f"{role} is {clean(word)}" for role, word in _words(roles))
    app.say(f"the memory: {told_roles}" if told_roles else "no table is known to be the memory")
    app.out(
        columns([["table", "rows"], *([clean(table), count(rows)] for table, rows in exported.rows.items())], right={1})
    )
    app.out(
        f"{clean(state.label)} is in {clean(str(output))}; checksums.json has the sums of {len(exported.files)} files"
    )


@contextmanager
def _state(
    app: App, repository: Repository, name: str, source: str | None, to: str | None
) -> Iterator[tuple[Snapshot, State]]:
    """The snapshot whose sources are meant, and the rows: its own, or the live ones."""
    snapshots = repository.snapshots()
    if name != LIVE:
        snapshot = resolve(snapshots, name)
        if source is not None and snapshot.source(source) is None:
            raise Invalid(f"the snapshot {snapshot.id[:8]} has no source {source!r}")
        yield snapshot, of_snapshot(repository, snapshot, source)
        return
    snapshot = resolve(snapshots, "latest")
    with ExitStack() as stack:
        pairs = live_sources(app, repository, snapshot, source=source, to=to)
        with app.progress() as progress:
            state = live_state(repository, snapshot, pairs, stack, progress)
        yield snapshot, state


def _given(app: App, state: State) -> Roles:
    """What snap.toml says of the first source that has roles."""
    for name in dict.fromkeys(own.source for own in state.tables):
        known = app.settings.sources.get(name)
        if known is not None and known.roles.memory:
            return known.roles
    return Roles()


def _words(roles: Roles) -> Sequence[tuple[str, str]]:
    return [(name, getattr(roles, name)) for name in roles.__slots__ if getattr(roles, name)]
