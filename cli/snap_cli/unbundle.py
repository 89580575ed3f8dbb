"""`snap unbundle`: the snapshots of a bundle into the repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from snap_cli.context import App, command, passphrase_options
from snap_cli.copy import copied_json, table_of
from snap_cli.errors import NoRepository
from snap_cli.render import amount, paint, plural, seconds
from snapstore.backends.bundle import BundleFile
from snapstore.backends.places import backend_of, check_new
from snapstore.operations.bundle import init_from, unbundle
from snapstore.operations.copy import Copied

__all__ = ["unbundle_command"]


@command(
    "unbundle",
    example="snap unbundle night.snap\n"
    "snap unbundle night.snap --from-passphrase-file /root/memory.txt\n"
    "snap unbundle night.snap --init -r /backups/twin",
)
@click.argument("path", metavar="FILE")
@click.option("--init", "is_new", is_flag=True, help="Make the repository first, with the keys of the bundle's.")
@passphrase_options("from", "the bundle")
@click.pass_obj
def unbundle_command(
    app: App, path: str, is_new: bool, from_passphrase_file: str | None, from_passphrase_command: str | None
) -> None:
    """Put the snapshots of a bundle into the repository; what is there already is passed over.

    Every byte of the file is checked before anything is written. A bundle made with --since goes only where the
    snapshots are that it builds upon; if it is encrypted, only into a repository with the same keys, as --init makes.
    A bundle opens with the passphrases of the repository that it comes from; where the keys are the same, with -r's.
    """
    with BundleFile(Path(path)) as file:
        if is_new:
            check_new(app.place)
            init_from(file, app.limited(backend_of(app.place, create=True, allow_http=app.allows_http)))
        try:
            target = app.repository()
        except NoRepository as error:
            error.hint = "Make one with `snap init`, encrypted or not, or with --init, one with the keys of the bundle."
            raise
        passphrase = app.other_passphrase(path, "from", from_passphrase_file, from_passphrase_command)
        with app.progress() as progress:
            done = [_named(one) for one in unbundle(file, target, passphrase=passphrase, progress=progress)]
    if app.json:
        document = {"path": file.location, "to": target.location, "init": is_new}
        app.document({**document, "snapshots": [copied_json(copied) for copied in done]})
        return
    for line in table_of(done):
        app.out(line)
    app.out(
        f"{paint(plural(sum(one.is_new for one in done), 'snapshot'), 'bold')} put into {target.location}: "
        f"{amount(sum(one.bytes_added for one in done))} stored in {seconds(sum(one.seconds for one in done))}"
    )


def _named(copied: Copied) -> Copied:
    """By the id that the snapshot has where it was taken: the one that it has in the file nobody ever sees."""
    origin = copied.snapshot.origin
    return copied if origin is None else replace(copied, snapshot=replace(copied.snapshot, id=origin.snapshot))
