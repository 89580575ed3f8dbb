"""`snap list`: which snapshots there are."""

from __future__ import annotations

import click

from snap_cli.completing import source_names
from snap_cli.context import App, command
from snap_cli.manifests import rows_in, snapshot_json, words_of
from snap_cli.render import amount, clean, columns, count, moment, plural

__all__ = ["list_command"]


@command("list", example="snap list\nsnap list --tag nightly --json")
@click.option("--all", "everything", is_flag=True, help="Safety snapshots too: the states before restores.")
@click.option("--tag", "tags", multiple=True, help="Only those with this tag (all of them, if several are given).")
@click.option("--source", shell_complete=source_names, help="Only those that hold the source of this name.")
@click.pass_obj
def list_command(app: App, everything: bool, tags: tuple[str, ...], source: str | None) -> None:
    """List the snapshots, oldest first. Times are UTC."""
    repository = app.repository()
    snapshots = [
        snapshot
        for snapshot in repository.snapshots()
        if set(tags) <= set(snapshot.tags) and (source is None or snapshot.source(source) is not None)
    ]
    shown = [snapshot for snapshot in snapshots if everything or snapshot.safety is None]
    if app.json:
        app.document([snapshot_json(snapshot, tables=False) for snapshot in shown])
        return
    rows = [["id", "time (UTC)", "source", "rows", "added", "tags", "description"]]
    for snapshot in shown:
        added = snapshot.statistics.get("bytes_added")
        names = " ".join(own.name for own in snapshot.sources)
        rows.append(
            [
                snapshot.id[:8],
                moment(snapshot.time),
                clean(names),
                count(rows_in(snapshot)),
                amount(added) if isinstance(added, int) else "-",
                words_of(snapshot),
                clean(snapshot.description),
            ]
        )
    if shown:
        app.out(columns(rows, right={3, 4}, indent=0, widest=28))
    else:
        app.say("no snapshots")
    hidden = len(snapshots) - len(shown)
    if hidden:
        app.say(f"{plural(hidden, 'safety snapshot')} not shown (--all shows the states before restores)")
