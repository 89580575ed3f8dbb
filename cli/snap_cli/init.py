"""`snap init`: make a repository."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from snap_cli.context import App, command
from snap_cli.offering import offer
from snap_cli.places import backend_of, is_url
from snapstore.errors import Exists, Invalid, Unavailable
from snapstore.repository import Repository

__all__ = ["check_new", "init_command"]


@command("init", example="snap init\nsnap init /backups/memory\nsnap init --encrypt /mnt/rented/memory")
@click.argument("path", required=False)
@click.option("--encrypt", is_flag=True, help="Seal everything in it; a passphrase opens it from then on.")
@click.pass_obj
def init_command(app: App, path: str | None, encrypt: bool) -> None:
    """Make a new repository in PATH, or where -r, SNAP_REPO or snap.toml say (else ./.snapstore).

    A folder must be new or empty; it will be readable by its owner alone. A bucket (s3://bucket/prefix, gs://, az://)
    must be there, and nothing under the prefix; its credentials come from the environment.

    With --encrypt whoever can read it learns sizes and times, and nothing more. Without the passphrase, or another one
    (`snap key add`), nobody can read it.

    On a terminal it offers to write a snap.toml with the sources it finds (DATABASE_URL, SQLite files in this folder, a
    folder .claude) and a rule for how long snapshots are kept. In a script it asks nothing and writes none.
    """
    if path is not None:
        app.repo = path
    if not is_url(app.place):
        check_new(Path(app.place).expanduser())
    passphrase = app.new_passphrase() if encrypt else None
    if not encrypt and isinstance(app.passphrase, bytes):
        raise Invalid(
            "a passphrase was given, and --encrypt was not; nothing was made",
            hint="`snap init --encrypt` makes an encrypted repository. For a plain one leave the passphrase out.",
        )
    repository = Repository.init(
        app.limited(backend_of(app.place, create=True, allow_http=app.allows_http)), passphrase=passphrase
    )
    if app.json:
        app.document({"repository": repository.location, "id": repository.settings.id.hex(), "encrypted": encrypt})
        return
    app.out(f"a new{' encrypted' if encrypt else ''} repository in {repository.location}")
    if encrypt:
        app.say("keep the passphrase where you keep no copy of the repository: without it nobody can read this again")
    if app.is_interactive and not app.quiet and offer(app):
        app.say("next: snap sources, then snap take")
        return
    found = "" if app.repo is None else f" -r {shlex.quote(app.repo)}"
    app.say(f"next: snap{found} take postgresql://user@host/database")


def check_new(folder: Path) -> None:
    """Never make a store of a folder that holds other things, not even a part of one."""
    try:
        names = sorted(one.name for one in folder.iterdir()) if folder.exists() else []
    except NotADirectoryError as error:
        raise Invalid(f"{folder} is a file, not a folder", hint="Name a new or empty folder.") from error
    except OSError as error:
        raise Unavailable(f"{folder}: {error.strerror}", hint="Check the path and who may read it.") from error
    if (folder / "LOCK").exists() and (folder / "config").exists():
        raise Exists(f"{folder} is a repository already", hint="Nothing was changed; use it.")
    # An `init --encrypt` that died may have left a key to nothing.
    left = ("LOCK", ".tmp", "lost+found", *(("keys",) if (folder / "LOCK").exists() else ()))
    other = [name for name in names if name not in left]
    if other:
        raise Invalid(f"{folder} is not empty: it holds {other[0]!r}", hint="Name a new or empty folder.")
