"""`snap init`: make a repository."""

from __future__ import annotations

import click

from snap_cli.context import App, command
from snap_cli.offering import offer
from snap_cli.typed import command_line
from snapstore.backends.places import backend_of, check_new
from snapstore.errors import Invalid
from snapstore.repository import Repository

__all__ = ["init_command"]


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
    check_new(app.place)
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
    app.say(f"next: {command_line(app, 'take', 'postgresql://user@host/database')}")
