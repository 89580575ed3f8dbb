"""`snap bundle`: snapshots in one file."""

from __future__ import annotations

from pathlib import Path

import click

from snap_cli.completing import snapshot_names
from snap_cli.context import App, command
from snap_cli.copy import copied_json
from snap_cli.manifests import rows_in
from snap_cli.render import amount, columns, count, moment, paint, plural
from snapstore.errors import Invalid
from snapstore.operations.bundle import bundle
from snapstore.repository import resolve_all

__all__ = ["bundle_command"]


@command(
    "bundle",
    example="snap bundle latest -o night.snap\n"
    "snap bundle --all -o everything.snap\n"
    "snap bundle latest --since 3f2a9c1b -o tuesday.snap",
)
@click.argument("names", metavar="[SNAP]...", shell_complete=snapshot_names, nargs=-1)
@click.option("-o", "--output", "output", metavar="FILE", required=True, help="The file to be made.")
@click.option("--all", "is_all", is_flag=True, help="Every snapshot, but those of --since.")
@click.option(
    "--since",
    "since_names",
    metavar="SNAP",
    shell_complete=snapshot_names,
    multiple=True,
    help="Leave out what this snapshot holds: the other machine has it. May be repeated.",
)
@click.pass_obj
def bundle_command(app: App, names: tuple[str, ...], output: str, is_all: bool, since_names: tuple[str, ...]) -> None:
    """Put snapshots into one file, to be carried to another machine and read by `snap unbundle`.

    The bundle of an encrypted repository is encrypted, and opens with the same passphrases. The file is read back
    before it gets its name. One that is there is never written over.
    """
    if bool(names) == is_all:
        told = "--all and names of snapshots contradict each other" if is_all else "no snapshot is named"
        raise Invalid(told, hint="Name snapshots, or write --all: snap bundle latest -o FILE.")
    repository = app.repository()
    snapshots = repository.snapshots()
    since = resolve_all(snapshots, since_names)
    chosen = [one for one in snapshots if one not in since] if is_all else resolve_all(snapshots, names)
    with app.progress() as progress:
        made = bundle(repository, Path(output), chosen, since=since, progress=progress)
    if not all(one.is_protected for one in made.copied):
        app.warn_unprotected(repository.location)
    if app.json:
        document = {"path": str(made.path), "bytes": made.bytes, "since": [one.id for one in since]}
        app.document({**document, "snapshots": [copied_json(copied) for copied in made.copied]})
        return
    rows = [["snapshot", "time (UTC)", "rows", "in the bundle"]]
    for copied in made.copied:
        snapshot = copied.snapshot
        rows.append([snapshot.id[:8], moment(snapshot.time), count(rows_in(snapshot)), amount(copied.bytes_added)])
    app.out(columns(rows, right={2}, indent=0))
    app.out(f"{paint(plural(len(made.copied), 'snapshot'), 'bold')} in {made.path}: {amount(made.bytes)}")
    if since:
        app.out(f"needs a repository that has {', '.join(one.id[:8] for one in since)}")
