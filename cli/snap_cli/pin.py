"""`snap pin` and `snap unpin`: keep a snapshot whatever a policy says, or leave it to the policy again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from snap_cli.completing import snapshot_names
from snap_cli.context import App, command
from snap_cli.manifests import snapshot_json
from snapstore.operations.forget import pin, unpin
from snapstore.repository import Repository, Snapshot, resolve_all

__all__ = ["pin_command", "unpin_command"]


@command("pin", example="snap pin before-migration")
@click.argument("names", metavar="SNAP...", shell_complete=snapshot_names, nargs=-1, required=True)
@click.pass_obj
def pin_command(app: App, names: tuple[str, ...]) -> None:
    """Keep snapshots: neither `gc` nor `rm` removes a pinned one."""
    _each(app, names, pin, "pinned")


@command("unpin", example="snap unpin before-migration")
@click.argument("names", metavar="SNAP...", shell_complete=snapshot_names, nargs=-1, required=True)
@click.pass_obj
def unpin_command(app: App, names: tuple[str, ...]) -> None:
    """Leave snapshots to the policy again."""
    _each(app, names, unpin, "no longer pinned")


def _each(app: App, names: Sequence[str], change: Callable[[Repository, str], Snapshot], told: str) -> None:
    repository = app.repository()
    changed = [change(repository, one.id) for one in resolve_all(repository.snapshots(), names)]
    if app.json:
        app.document([snapshot_json(snapshot, tables=False) for snapshot in changed])
        return
    for snapshot in changed:
        app.out(f"{snapshot.id[:8]} is {told}")
