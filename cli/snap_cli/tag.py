"""`snap tag`: give a snapshot names, or take them away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from snap_cli.completing import snapshot_names
from snap_cli.context import App, command, group
from snap_cli.manifests import snapshot_json
from snapstore.operations.tags import tag, untag
from snapstore.repository import Repository, Snapshot

__all__ = ["tag_command"]


tag_command = group(
    "tag",
    "Give a snapshot names, or take them away.",
    example="snap tag add latest before-migration\nsnap tag remove before-migration before-migration",
)


@command("add", example="snap tag add latest before-migration")
@click.argument("name", metavar="SNAP", shell_complete=snapshot_names)
@click.argument("tags", metavar="TAG...", nargs=-1, required=True)
@click.pass_obj
def add_command(app: App, name: str, tags: tuple[str, ...]) -> None:
    """Add tags to a snapshot; a tag that several have means the newest of them."""
    _change(app, name, tags, tag)


@command("remove", example="snap tag remove 1f2e3d4c before-migration")
@click.argument("name", metavar="SNAP", shell_complete=snapshot_names)
@click.argument("tags", metavar="TAG...", nargs=-1, required=True)
@click.pass_obj
def remove_command(app: App, name: str, tags: tuple[str, ...]) -> None:
    """Remove tags from a snapshot."""
    _change(app, name, tags, untag)


def _change(
    app: App, name: str, tags: Sequence[str], change: Callable[[Repository, str, Sequence[str]], Snapshot]
) -> None:
    repository = app.repository()
    changed = change(repository, app.snapshot(repository, name).id, tags)
    if app.json:
        app.document(snapshot_json(changed, tables=False))
        return
    app.out(f"{changed.id[:8]}: {' '.join(changed.tags) or 'no tags'}")


tag_command.add_command(add_command)
tag_command.add_command(remove_command)
