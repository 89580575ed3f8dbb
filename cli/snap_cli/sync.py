"""`snap sync`: every snapshot into the other repository that snap.toml names."""

from __future__ import annotations

import click

from snap_cli.context import App, command
from snap_cli.copy import copy_between, opened_side
from snapstore.errors import Invalid

__all__ = ["sync_command"]


@command("sync", example='snap sync      # with [sync] in snap.toml: to = "s3://bucket/memory"')
@click.pass_obj
def sync_command(app: App) -> None:
    """Copy every snapshot that is not there yet into the repository of [sync] in snap.toml.

    As `snap copy --all --to` does; a scheduled take does it too, before old snapshots are removed. Nothing is ever
    removed there: `snap -r THERE gc` does that.
    """
    wanted = app.settings.sync
    if wanted is None:
        raise Invalid("no [sync] in snap.toml says where to", hint='Add it: to = "s3://bucket/memory".')
    source = app.repository()
    file = None if wanted.passphrase_file is None else app.expanded(wanted.passphrase_file)
    target = opened_side(app, app.expanded(wanted.to), "to", file, wanted.passphrase_command)
    copy_between(app, source, target, source.snapshots())
