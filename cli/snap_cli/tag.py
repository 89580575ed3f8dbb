"""`snap tag`: give a snapshot names, or take them away."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import click

from snap_cli.completing import snapshot_names
from snap_cli.context import App, command, common_options, show_help_without_command
from snap_cli.manifests import snapshot_json
from snapstore.errors import NotFound
from snapstore.operations.take import check_tags
from snapstore.repository import Snapshot

__all__ = ["tag_command"]


@click.group(
    "tag",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n  snap tag add latest before-migration\n  snap tag remove before-migration before-migration",
)
@common_options
@click.pass_context
def tag_command(context: click.Context) -> None:
    """Give a snapshot names, or take them away."""
    show_help_without_command(context)


@command("add", example="snap tag add latest before-migration")
@click.argument("name", metavar="SNAP", shell_complete=snapshot_names)
@click.argument("tags", metavar="TAG...", nargs=-1, required=True)
@click.pass_obj
def add_command(app: App, name: str, tags: tuple[str, ...]) -> None:
    """Add tags to a snapshot; a tag that several have means the newest of them."""
    check_tags(tags)
    _change(app, name, lambda own: tuple(dict.fromkeys((*own, *tags))))


@command("remove", example="snap tag remove 1f2e3d4c before-migration")
@click.argument("name", metavar="SNAP", shell_complete=snapshot_names)
@click.argument("tags", metavar="TAG...", nargs=-1, required=True)
@click.pass_obj
def remove_command(app: App, name: str, tags: tuple[str, ...]) -> None:
    """Remove tags from a snapshot."""

    def without(own: tuple[str, ...]) -> tuple[str, ...]:
        for tag in tags:
            if tag not in own:
                shown = ", ".join(own) or "none"
                raise NotFound(f"the snapshot has no tag {tag!r}; nothing was changed", hint=f"It has: {shown}.")
        return tuple(tag for tag in own if tag not in tags)

    _change(app, name, without)


def _change(app: App, name: str, edit: Callable[[tuple[str, ...]], tuple[str, ...]]) -> None:
    repository = app.repository()

    def retagged(snapshot: Snapshot) -> Snapshot:
        return dataclasses.replace(snapshot, tags=edit(snapshot.tags))

    changed = repository.change(app.snapshot(repository, name).id, retagged)
    if app.json:
        app.document(snapshot_json(changed, tables=False))
        return
    app.out(f"{changed.id[:8]}: {' '.join(changed.tags) or 'no tags'}")


tag_command.add_command(add_command)
tag_command.add_command(remove_command)
