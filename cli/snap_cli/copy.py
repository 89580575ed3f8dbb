"""`snap copy`: snapshots into another repository."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from snap_cli.completing import snapshot_names
from snap_cli.context import App, command, passphrase_options
from snap_cli.errors import NoRepository
from snap_cli.manifests import rows_in
from snap_cli.render import amount, columns, count, moment, paint, plural, seconds
from snapstore.errors import Invalid
from snapstore.operations.copy import Copied, copy
from snapstore.repository import Repository, Snapshot, resolve_all

__all__ = ["copied_json", "copy_between", "copy_command", "opened_side", "table_of"]


@command(
    "copy",
    example="snap copy latest --to /mnt/off-site/memory\n"
    "snap copy --all --to s3://bucket/memory --to-passphrase-file /root/off-site.txt\n"
    "snap copy --all --from s3://bucket/memory",
)
@click.argument("names", metavar="[SNAP]...", shell_complete=snapshot_names, nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Every snapshot that is not there yet.")
@click.option("--to", "to_place", metavar="PATH", help="The repository to copy into.")
@click.option("--from", "from_place", metavar="PATH", help="... to copy from, into the one of -r (or of --to).")
@passphrase_options("to", "that of --to")
@passphrase_options("from", "that of --from")
@click.pass_obj
def copy_command(
    app: App,
    names: tuple[str, ...],
    is_all: bool,
    to_place: str | None,
    from_place: str | None,
    to_passphrase_file: str | None,
    to_passphrase_command: str | None,
    from_passphrase_file: str | None,
    from_passphrase_command: str | None,
) -> None:
    """Copy snapshots into another repository: off site, into a bucket, an encrypted one, or back.

    Only what is not there yet is sent; a snapshot that is there, or whose copy is, is passed over. A copy has an id of
    its own and answers to the one of the snapshot too. It keeps time, tags, description and pin.
    """
    if bool(names) == is_all:
        told = "--all and names of snapshots contradict each other" if is_all else "no snapshot is named"
        raise Invalid(told, hint="Name snapshots, or write --all: snap copy latest --to PATH.")
    if to_place is None and from_place is None:
        raise Invalid("the other repository is not named", hint="Name it: snap copy latest --to PATH.")
    for side, place, words in (
        ("to", to_place, (to_passphrase_file, to_passphrase_command)),
        ("from", from_place, (from_passphrase_file, from_passphrase_command)),
    ):
        if place is None and any(words):
            raise Invalid(f"--{side}-passphrase-… without --{side}", hint=f"Name the repository with --{side}.")
    source = opened_side(app, from_place, "from", from_passphrase_file, from_passphrase_command)
    target = opened_side(app, to_place, "to", to_passphrase_file, to_passphrase_command)
    snapshots = source.snapshots()
    copy_between(app, source, target, snapshots if is_all else resolve_all(snapshots, names))


def copy_between(app: App, source: Repository, target: Repository, chosen: Sequence[Snapshot]) -> None:
    """Copy these snapshots, and say what was done."""
    with app.progress() as progress:
        done = copy(source, target, chosen, progress=progress)
    if not all(one.is_protected for one in done):
        app.warn_unprotected(source.location)
    if app.json:
        app.document(
            {"from": source.location, "to": target.location, "snapshots": [copied_json(copied) for copied in done]}
        )
        return
    for line in table_of(done):
        app.out(line)
    app.out(
        f"copied {paint(plural(sum(one.is_new for one in done), 'snapshot'), 'bold')} into {target.location}: "
        f"{amount(sum(one.bytes_added for one in done))} stored, {amount(sum(one.bytes_read for one in done))} read "
        f"in {seconds(sum(one.seconds for one in done))}"
    )


def table_of(done: Sequence[Copied]) -> Iterator[str]:
    """Lines of a table: each snapshot and its copy."""
    rows = [["snapshot", "copy", "time (UTC)", "rows", "stored"]]
    for copied in done:
        stored = amount(copied.bytes_added) if copied.is_new else "there already"
        names = [copied.snapshot.id[:8], copied.copy.id[:8], moment(copied.snapshot.time)]
        rows.append([*names, count(rows_in(copied.copy)), stored])
    if done:
        yield columns(rows, right={3}, indent=0)


def opened_side(app: App, place: str | None, side: str, file: str | None, command: str | None) -> Repository:
    """The repository on this side: the one that is named for it, else the common one."""
    if place is None:
        return app.repository()
    try:
        return app.other_repository(place, side, file, command)
    except NoRepository as error:
        if side == "to":
            error.hint = f"Make one with `snap init {place}`, encrypted or not."
        raise


def copied_json(copied: Copied) -> dict[str, Any]:
    """A snapshot and its copy as `--json` tells them."""
    return {
        "snapshot": copied.snapshot.id,
        "copy": copied.copy.id,
        "new": copied.is_new,
        "protected": copied.is_protected,
        "rows": rows_in(copied.copy),
        "bytes_read": copied.bytes_read,
        "bytes_new": copied.bytes_new,
        "bytes_added": copied.bytes_added,
        "seconds": copied.seconds,
    }
