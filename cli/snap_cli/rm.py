"""`snap rm`: remove snapshots by name."""

from __future__ import annotations

import re

import click

from snap_cli.completing import snapshot_names
from snap_cli.context import App, command
from snap_cli.render import plural
from snap_cli.typed import command_line
from snapstore.operations.forget import rm
from snapstore.repository import resolve_all

__all__ = ["rm_command"]


@command("rm", example="snap rm 1f2e3d4c latest~5")
@click.argument("names", metavar="SNAP...", shell_complete=snapshot_names, nargs=-1, required=True)
@click.option("--damaged", is_flag=True, help="Remove it though its manifest cannot be read; needs whole ids.")
@click.pass_obj
def rm_command(app: App, names: tuple[str, ...], damaged: bool) -> None:
    """Remove snapshots; all of those named, or none if one of them is pinned or not there.

    Their space comes back with the next `snap gc`.
    """
    repository = app.repository()
    if damaged and all(re.fullmatch("[0-9a-f]{32}", name) for name in names):
        ids = list(dict.fromkeys(names))
    else:
        ids = [one.id for one in resolve_all(repository.snapshots(), names)]
    removed = rm(repository, ids, damaged=damaged)
    if app.json:
        app.document({"removed": removed})
        return
    app.out(f"removed {plural(len(removed), 'snapshot')}: {' '.join(one[:8] for one in removed)}")
    app.say(f"`{command_line(app, 'gc', '--keep-all')}` gives back the space that only they needed")
