"""`snap key`: who can open an encrypted repository."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from snap_cli import passphrases
from snap_cli.context import App, command, group
from snap_cli.render import clean, columns
from snapstore.errors import Invalid, NotFound
from snapstore.operations.keys import key_add, key_list, key_passwd, key_remove
from snapstore.repository.keyring import KEYS, Key

__all__ = ["key_command"]

_LEAST_DIGITS = 4


key_command = group(
    "key",
    "The keys of an encrypted repository: each is a passphrase that opens it.",
    example="snap key add --label off-site\nsnap key list\nsnap key remove 1f2e3d4c",
)


def _new_passphrase(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        click.option("--new-passphrase-command", metavar="COMMAND", help="... or the first line this command prints."),
        click.option("--new-passphrase-file", metavar="FILE", help="Its first line is the new passphrase."),
    ):
        function = decorate(function)
    return function


@command("add", example="snap key add --label off-site --new-passphrase-file /root/off-site.txt")
@click.option("--label", default="", help="What the key is for; sealed, as everything is.")
@_new_passphrase
@click.pass_obj
def add_command(app: App, label: str, new_passphrase_file: str | None, new_passphrase_command: str | None) -> None:
    """Add a key: one more passphrase that opens the repository."""
    repository = app.repository()
    passphrase = _chosen(app, new_passphrase_file, new_passphrase_command)
    key = key_add(repository, passphrase, label=label)
    if app.json:
        app.document(_json(key, repository.key_id))
        return
    app.out(f"added the key {key.id[:8]}")


@command("list", example="snap key list")
@click.pass_obj
def list_command(app: App) -> None:
    """List the keys, oldest first; the one that opened the repository has a star."""
    repository = app.repository()
    keys = key_list(repository)
    if app.json:
        app.document([_json(key, repository.key_id) for key in keys if isinstance(key, Key)])
    else:
        rows = [["", "id", "added (UTC)", "label"]]
        for key in keys:
            if isinstance(key, Key):
                told = key.label + (" (its removal was interrupted; remove it again)" if key.is_leaving else "")
                star = "*" if key.id == repository.key_id else ""
                rows.append([star, key.id[:8], key.created[:19].replace("T", " "), clean(told)])
        app.out(columns(rows, indent=0))
    for key in keys:
        if not isinstance(key, Key):
            app.warn(clean(f"{key.message}. {key.hint}"))


@command("remove", example="snap key remove 1f2e3d4c")
@click.argument("key_id", metavar="ID")
@click.pass_obj
def remove_command(app: App, key_id: str) -> None:
    """Remove a key, by its id or the beginning of it; never the last one, nor the one in use.

    Its passphrase opens the repository no more. Whoever had it may have read the master key before, which stays the
    same: if that is a worry, make a new repository.
    """
    repository = app.repository()
    names = [entry.name.removeprefix(KEYS) for entry in repository.backend.list(KEYS)]
    found = [name for name in names if name.startswith(key_id)]
    if len(key_id) < _LEAST_DIGITS or len(found) != 1:
        raise NotFound(
            f"{clean(key_id)!r} is not the id of one key",
            hint=f"`snap key list` shows them; the first {_LEAST_DIGITS} digits will do if no other begins so.",
        )
    key_remove(repository, found[0])
    if app.json:
        app.document({"removed": found[0]})
        return
    app.out(f"removed the key {found[0][:8]}")


@command("passwd", example="snap key passwd")
@_new_passphrase
@click.pass_obj
def passwd_command(app: App, new_passphrase_file: str | None, new_passphrase_command: str | None) -> None:
    """Give the key that opens the repository another passphrase."""
    repository = app.repository()
    passphrase = _chosen(app, new_passphrase_file, new_passphrase_command)
    key = key_passwd(repository, passphrase)
    if app.json:
        app.document(_json(key, repository.key_id))
        return
    app.out(f"the key is {key.id[:8]} now, with the new passphrase")


def _chosen(app: App, file: str | None, command: str | None) -> bytes:
    given = passphrases.given(file, command)
    if given is None and not app.is_interactive:
        raise Invalid(
            "there is no new passphrase", hint="Give it with --new-passphrase-file or --new-passphrase-command."
        )
    return given if given is not None else passphrases.chosen(app.is_interactive, "New passphrase")


def _json(key: Key, current: str) -> dict[str, Any]:
    return {
        "key": key.id,
        "label": key.label,
        "created": key.created,
        "leaving": key.is_leaving,
        "current": key.id == current,
    }


for _command in (add_command, list_command, remove_command, passwd_command):
    key_command.add_command(_command)
