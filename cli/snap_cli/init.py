"""`snap init`: make a repository."""

from __future__ import annotations

from pathlib import Path

import click

from snap_cli.context import App, command
from snapstore.backends.directory import DirectoryBackend
from snapstore.errors import Exists, Invalid, Unavailable
from snapstore.repository import Repository

__all__ = ["init_command"]


@command("init", example="snap init\nsnap init /backups/memory")
@click.argument("path", required=False)
@click.pass_obj
def init_command(app: App, path: str | None) -> None:
    """Make a new repository in PATH, or where -r, SNAP_REPO or snap.toml say (else ./.snapstore).

    The folder must be new or empty; it will be readable by its owner alone.
    """
    if path is not None:
        app.repo = path
    folder = Path(app.place).expanduser()
    _check(folder)
    repository = Repository.init(DirectoryBackend(folder, create=True))
    if app.json:
        app.document({"repository": repository.location, "id": repository.settings.id.hex()})
        return
    app.out(f"a new repository in {repository.location}")
    found = "" if path is None else f" -r {path}"
    app.say(f"next: snap{found} take postgresql://user@host/database")


def _check(folder: Path) -> None:
    """Never make a store of a folder that holds other things, not even a part of one."""
    try:
        names = sorted(one.name for one in folder.iterdir()) if folder.exists() else []
    except NotADirectoryError as error:
        raise Invalid(f"{folder} is a file, not a folder", hint="Name a new or empty folder.") from error
    except OSError as error:
        raise Unavailable(f"{folder}: {error.strerror}", hint="Check the path and who may read it.") from error
    if (folder / "LOCK").exists() and (folder / "config").exists():
        raise Exists(f"{folder} is a repository already", hint="Nothing was changed; use it.")
    other = [name for name in names if name not in ("LOCK", ".tmp", "lost+found")]
    if other:
        raise Invalid(f"{folder} is not empty: it holds {other[0]!r}", hint="Name a new or empty folder.")
