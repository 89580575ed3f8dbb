"""`snap import`: take a snapshot of an export, and restore from it if asked."""

from __future__ import annotations

from pathlib import Path

import click

from snap_cli.completing import source_names
from snap_cli.context import App, command
from snap_cli.manifests import rows_in
from snap_cli.render import paint, plural
from snap_cli.restore import carry_out
from snap_cli.sources import one_source, open_named
from snap_cli.typed import typed
from snapstore.backends.places import is_private
from snapstore.errors import Invalid
from snapstore.extras import Extra
from snapstore.operations.forget import rm
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask

__all__ = ["import_command"]


@command(
    "import",
    example="snap import memories --as-snapshot --tag from-the-old-server\n"
    "snap import memories --to postgresql://me@localhost/agents --dry-run\n"
    "snap import memories --to postgresql://me@localhost/agents --conflict update",
)
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--to", metavar="URL|NAME", shell_complete=source_names, help="Restore the rows into this live source.")
@click.option("--as-snapshot", is_flag=True, help="Only take a snapshot of the rows; nothing live is looked at.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and keep nothing.")
@click.option(
    "--conflict",
    type=click.Choice(["skip", "update"]),
    default="skip",
    help="Rows that differ: leave the live ones (skip, the default), or set the columns that differ (update).",
)
@click.option(
    "--source", metavar="NAME", shell_complete=source_names, help="Of several sources in the export, this one."
)
@click.option("--tag", "tags", multiple=True, help="A name for the snapshot; may be given several times.")
@click.option("--plan", "plan_id", metavar="ID", help="Do exactly what a dry run said, or exit 5 if rows have drifted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def import_command(
    app: App,
    path: Path,
    to: str | None,
    as_snapshot: bool,
    dry_run: bool,
    conflict: str,
    source: str | None,
    tags: tuple[str, ...],
    plan_id: str | None,
    yes: bool,
) -> None:
    """Read back what `snap export` wrote: as a snapshot, and from there into a live source.

    The sums of all files are checked first. What an export left out (a CSV has no vectors) is not in the snapshot, and
    is NULL in rows that are inserted.
    """
    if bool(to) == as_snapshot:
        raise Invalid("say where to", hint="Either --to URL, or --as-snapshot.")
    if plan_id is not None and (dry_run or as_snapshot):
        raise Invalid("--plan goes with --to, and not with --dry-run")
    with Extra("export", "an import needs"):
        from snapstore.operations.importing import import_export, read_export
    repository = app.repository()
    export = read_export(path)
    if to and source is None and len(export.sources) > 1:
        raise Invalid("the export has several sources", hint=f"Pick one with --source: {', '.join(export.sources)}.")
    with app.progress() as progress:
        taken = import_export(repository, export, source, tags=tags, host=app.host, progress=progress)
    snapshot = taken.snapshot
    try:
        for told in (line for one in snapshot.sources for line in one.missing):
            app.warn(told)
        if to is None:
            _tell(app, snapshot.id, rows_in(snapshot), sum(len(one.tables) for one in snapshot.sources))
            return
        app.say(f"snapshot {snapshot.id[:8]} of the export: {plural(rows_in(snapshot), 'row')}")
        held, live = snapshot.sources[0], open_named(app, one_source(app, to))
        again = typed(app, "import", str(path), "--to", live.url)
        again += ["--conflict", conflict] if conflict != "skip" else []
        again += ["--source", source] if source else []
        ask = Ask(mode=Mode(conflict), source=held.name, trusted=app.trust or is_private(export.folder))
        carry_out(
            app, repository, snapshot, held, live, ask,
            dry_run=dry_run, plan_id=plan_id, yes=yes, verify=True,
            again=again,
        )  # fmt: skip
    finally:
        if dry_run:
            rm(repository, [snapshot.id])


def _tell(app: App, name: str, rows: int, tables: int) -> None:
    if app.json:
        app.document({"snapshot": name, "rows": rows, "tables": tables})
    else:
        app.out(f"snapshot {paint(name[:8], 'bold')}: {plural(rows, 'row')} in {plural(tables, 'table')}")
