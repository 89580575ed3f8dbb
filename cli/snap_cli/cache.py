"""`snap cache`: what this machine keeps of repositories in buckets, so as not to fetch it again."""

from __future__ import annotations

import click

from snap_cli.context import App, command, group
from snap_cli.render import amount, columns, count

__all__ = ["cache_command"]


cache_command = group(
    "cache",
    "What this machine keeps of repositories in buckets: it can be deleted at any time.\n\n"
    "In SNAP_CACHE, else XDG_CACHE_HOME/snapstore or ~/.cache/snapstore; up to SNAP_CACHE_SIZE (1 GB). Of an encrypted "
    "repository it is kept as sealed as it is in the bucket.",
    example="snap cache info\nsnap cache clear",
)


@command("info", example="snap cache info")
@click.pass_obj
def info_command(app: App) -> None:
    """Say where the cache is, and how much it keeps of which repository (by id)."""
    folder = app.cache_folder
    usage = folder.usage()
    if app.json:
        app.document(
            {
                "folder": str(folder.path),
                "limit_bytes": folder.limit_bytes,
                "repositories": [
                    {"id": one.repository, "entries": one.entries, "bytes": one.size_bytes} for one in usage
                ],
            }
        )
        return
    app.out(f"{folder.path}, up to {amount(folder.limit_bytes)}")
    rows = [["repository", "entries", "size"]]
    rows += [[one.repository, count(one.entries), amount(one.size_bytes)] for one in usage]
    if usage:
        app.out(columns(rows, right={1, 2}))


@command("clear", example="snap cache clear")
@click.pass_obj
def clear_command(app: App) -> None:
    """Delete the cache; what is needed is fetched again."""
    freed = app.cache_folder.clear()
    if app.json:
        app.document({"bytes_freed": freed})
        return
    app.out(f"{amount(freed)} given back")


for _command in (info_command, clear_command):
    cache_command.add_command(_command)
