"""`snap status`: what changed since the last snapshot."""

from __future__ import annotations

from typing import Any

import click

from snap_cli.context import App, command
from snap_cli.dated import tell_future
from snap_cli.diff import compare, diff_options
from snapstore.errors import NotFound
from snapstore.repository import resolve

__all__ = ["status_command"]


@command("status", example="snap status\nsnap status --rows --table memories")
@diff_options
@click.pass_context
def status_command(
    context: click.Context,
    /,
    source: str | None,
    to: str | None,
    tables: tuple[str, ...],
    keys: tuple[str, ...],
    **shown: Any,
) -> None:
    """Compare the live rows with the last snapshot: the same as `snap diff latest live`."""
    app: App = context.obj
    repository = app.repository()
    snapshots = repository.snapshots()
    of_source = [one for one in snapshots if source and one.source(source) is not None]
    if source and source in app.settings.sources and not of_source:
        raise NotFound(f"there is no snapshot of {source!r} yet", hint=f"Take one with `snap take {source}`.")
    latest = resolve(of_source or snapshots, "latest")
    for told in tell_future(latest):
        app.warn(told)
    compare(context, repository, latest, None, source=source, to=to, tables=tables, keys=keys, **shown)
