"""`snap verify`: look for damage, and say what it harms."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click

from snap_cli.cells import key_text
from snap_cli.completing import snapshot_names, source_names
from snap_cli.context import App, command
from snap_cli.errors import DAMAGED
from snap_cli.manifests import tell_missing
from snap_cli.render import amount, clean, count, paint, plural
from snap_cli.scratch import scratch_source
from snap_cli.sources import live_sources
from snap_cli.typed import command_line
from snap_cli.verified import Verification, VerifyNotes
from snapstore.errors import Invalid, SnapstoreError
from snapstore.operations.damage import Damage, RowRange
from snapstore.operations.livestate import live_selection, live_state
from snapstore.operations.restore_test import restore_test
from snapstore.operations.rowvalues import keys_of
from snapstore.operations.sampling import Sample
from snapstore.operations.state import of_snapshot
from snapstore.operations.verify import Verified, verify
from snapstore.operations.verify_live import LiveTable, compare_live
from snapstore.repository import Repository, Snapshot, resolve, resolve_all
from snapstore.rows import Cells, width_of

__all__ = ["verify_command"]

_MOST_ROWS, _MOST_REASONS = 8, 3
"""Ranges of rows and reasons that are shown of one damaged object; JSON has them all."""

_DIFFERENT = 1
_DAY_SECONDS = 86_400


@command(
    "verify",
    example="snap verify\n"
    "snap verify latest --read-data\n"
    "snap verify --sample 10%         # every day: all is read in ten days\n"
    "snap verify latest --restore-test\n"
    "snap verify --live latest",
)
@click.argument("names", metavar="[SNAP]...", shell_complete=snapshot_names, nargs=-1)
@click.option("--read-data", is_flag=True, help="Read and hash every byte.")
@click.option("--sample", metavar="PERCENT", help="Read and hash a share, such as 10%: another one in each round.")
@click.option("--round", "number", type=click.IntRange(0), metavar="N",
              help="The number of the round [the days since 1970].")  # fmt: skip
@click.option("--restore-test", "is_trial", is_flag=True,
              help="Restore one snapshot into a scratch database, and compare the two.")  # fmt: skip
@click.option("--live", "is_live", is_flag=True, help="Compare one snapshot with every live row instead.")
@click.option(
    "--to", metavar="URL|NAME", shell_complete=source_names, help="The live source [SNAP_SOURCE, or as recorded]."
)
@click.pass_context
def verify_command(
    context: click.Context,
    names: tuple[str, ...],
    read_data: bool,
    sample: str | None,
    number: int | None,
    is_trial: bool,
    is_live: bool,
    to: str | None,
) -> None:
    """Check that the repository is as it was written, and that snapshots (all, if none is named) are whole.

    Damage is named with the snapshots, tables and rows it harms, and the command exits 4. Nothing is repaired: that is
    for `snap repair`. What that healed, and `snap gc` is to delete, harms nothing: it is mentioned, and is no failure.

    With --sample 10% each of ten rounds with consecutive numbers reads another tenth, all of them every byte, and
    nothing is remembered between them. A round is a day; who comes weekly numbers them with --round.

    With --restore-test a snapshot (latest, if none is named) is restored into a throwaway server (it needs the extra
    `embedded`) or a scratch file, and compared with what came out, to the last bit. Exits 1 if a table differs.

    With --live the rows of a snapshot (latest, if none is named) are compared with the live ones, to the last bit.
    All are read, whatever the stamps say. Exits 1 if a table differs; `snap diff` says in what.
    """
    app: App = context.obj
    if is_live and is_trial:
        raise Invalid("--live and --restore-test contradict each other", hint="Choose one of them.")
    if to is not None and not is_live:
        raise Invalid("--to is for --live", hint="Write: snap verify --live --to URL.")
    if is_live or is_trial:
        _compare(context, app, names, to, is_trial=is_trial, has_other=read_data or sample is not None)
        return
    if number is not None and sample is None:
        raise Invalid("--round is for --sample", hint="Write: snap verify --sample 10% --round N.")
    chosen_sample = _sample(sample, number)
    if read_data and chosen_sample is not None:
        raise Invalid("--read-data and --sample contradict each other", hint="Choose one of them.")
    repository = app.repository()
    chosen = None
    if names:
        chosen = resolve_all(repository.snapshots(), names)
    with app.progress() as progress:
        verified = verify(repository, snapshots=chosen, read_data=read_data, sample=chosen_sample, progress=progress)
    depth = "every byte" if read_data else "sample" if chosen_sample else "structure"
    if not verified.is_protected:
        app.warn_unprotected(repository.location)
    damaged = len({damage.object for damage in verified.damaged})
    _note(app, repository, depth, damaged=damaged, is_whole=chosen is None)
    if app.json:
        app.document(_json(verified, chosen_sample))
    else:
        objects = _by_object(verified.damaged)
        for damages in objects:
            _tell(app, damages)
        _tell_harmless(app, verified)
        depth = "every byte" if read_data else "structure and references"
        if chosen_sample:
            depth = f"share {chosen_sample.share + 1} of {chosen_sample.shares} of the data"
        found = paint(f"{len(objects):,} damaged", "red") if objects else "no damage"
        app.out(
            f"{found}: {plural(len(verified.snapshots), 'snapshot')}, {plural(verified.blobs, 'blob')}, "
            f"{depth}, {amount(verified.bytes_read)} read"
        )
    if verified.damaged:
        heal = command_line(app, "repair", "heal")
        app.say(f"next: `{heal}`, from a copy or the live source if there is one; see `snap repair --help`")
        context.exit(DAMAGED)


def _compare(
    context: click.Context, app: App, names: Sequence[str], to: str | None, *, is_trial: bool, has_other: bool
) -> None:
    """One snapshot with live rows, or with what a restore makes of it."""
    option = "--restore-test" if is_trial else "--live"
    if has_other or len(names) > 1:
        raise Invalid(f"{option} compares one snapshot and reads no packs", hint=f"Write: snap verify {option} SNAP.")
    repository = app.repository()
    snapshot = resolve(repository.snapshots(), names[0] if names else "latest")
    tables = _restored(app, repository, snapshot) if is_trial else _live(app, repository, snapshot, to)
    if is_trial:
        _note(app, repository, "restore test", damaged=sum(not one.is_equal for one in tables), is_whole=False)
    if app.json:
        app.document({"snapshot": snapshot.id, "tables": [_live_json(table) for table in tables]})
    else:
        for table in tables:
            app.out(_live_text(table, "restored" if is_trial else "live"))
    if not all(table.is_equal for table in tables):
        context.exit(_DIFFERENT)


def _note(app: App, repository: Repository, depth: str, *, damaged: int, is_whole: bool) -> None:
    """For `snap doctor`; the result stands without it."""
    try:
        VerifyNotes(app.states, repository).write(Verification(depth, datetime.now(UTC), damaged), is_whole=is_whole)
    except SnapstoreError as error:
        app.warn(f"`snap doctor` will not know of this: {error.message}")


def _restored(app: App, repository: Repository, snapshot: Snapshot) -> list[LiveTable]:
    tables: list[LiveTable] = []
    for held in snapshot.sources:
        for told in tell_missing(held):
            app.warn(told)
        with scratch_source(app, held) as source, app.progress() as progress:
            selection = live_selection(snapshot, held)
            tables += restore_test(repository, snapshot, held.name, source, selection, progress=progress)
    return tables


def _live(app: App, repository: Repository, snapshot: Snapshot, to: str | None) -> list[LiveTable]:
    with ExitStack() as stack:
        pairs = live_sources(app, repository, snapshot, to=to)
        chosen = {held.name for held, _ in pairs}
        held = of_snapshot(repository, snapshot)
        held = replace(held, tables=tuple(table for table in held.tables if table.source in chosen))
        with app.progress() as progress:
            state = live_state(repository, snapshot, pairs, stack, progress, full=True)
        return compare_live(held, state)


def _live_text(table: LiveTable, side: str) -> str:
    name = clean(table.name)
    if table.is_equal:
        return f"equal     {name}: {count(table.rows or 0)} rows"
    if table.live_rows is None or table.rows is None:
        return f"{paint('differs', 'red')}   {name}: {'not in the snapshot' if table.rows is None else f'not {side}'}"
    rows = f"{count(table.rows)} rows in the snapshot, {count(table.live_rows)} {side}"
    return f"{paint('differs', 'red')}   {name}: {rows}"


def _live_json(table: LiveTable) -> dict[str, Any]:
    return {
        "source": table.source,
        "name": table.name,
        "equal": table.is_equal,
        "rows": table.rows,
        "root": table.root,
        "live_rows": table.live_rows,
        "live_root": table.live_root,
    }


def _sample(text: str | None, number: int | None) -> Sample | None:
    if text is None:
        return None
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError as error:
        raise Invalid(f"--sample {clean(text)!r} is not a share", hint="Write it like 10%.") from error
    return Sample(percent, int(time.time() // _DAY_SECONDS) if number is None else number)


def _by_object(damaged: Sequence[Damage]) -> list[list[Damage]]:
    """What is damaged object by object: one pack that was cut short may hold thousands of blobs."""
    groups: dict[str, list[Damage]] = {}
    for damage in damaged:
        groups.setdefault(damage.object, []).append(damage)
    return list(groups.values())


def _tell_harmless(app: App, verified: Verified) -> None:
    """What is damaged and does not matter, and how it goes."""
    packs = dict.fromkeys(damage.object for damage in verified.harmless)
    if packs:
        app.say(
            f"{plural(len(packs), 'condemned pack')} with damage that harms nothing: "
            f"`{command_line(app, 'gc', '--keep-all')}` deletes what is condemned, once nothing needs it"
        )


def _tell(app: App, damages: Sequence[Damage]) -> None:
    """Everything about one damaged object."""
    whole = [damage for damage in damages if damage.blob is None]
    reasons = list(dict.fromkeys(damage.reason for damage in whole or damages))
    app.out(f"{paint('damaged', 'red')} {clean(damages[0].object)}: {clean(reasons[0])}")
    for reason in reasons[1:_MOST_REASONS]:
        app.out(f"  also: {clean(reason)}")
    blobs = list(dict.fromkeys(damage.blob.hex() for damage in damages if damage.blob is not None))
    if len(blobs) == 1:
        app.out(f"  blob {blobs[0]}")
    elif blobs:
        app.out(f"  {count(len(blobs))} blobs in it (--json has them all)")
    snapshots = dict.fromkeys(one[:8] for damage in damages for one in damage.snapshots)
    if snapshots:
        app.out(f"  harms {'snapshots' if len(snapshots) > 1 else 'snapshot'} {' '.join(snapshots)}")
    ranges = list(dict.fromkeys(rows for damage in damages for rows in damage.rows))
    named = {rows.table for rows in ranges}
    for table in dict.fromkeys(table for damage in damages for table in damage.tables):
        if table not in named:
            app.out(f"  harms {clean(table)}")
    for rows in ranges[:_MOST_ROWS]:
        column = f".{rows.column}" if rows.column else ""
        app.out(f"  harms {clean(rows.table + column)}: {_range(rows)}")
    if len(ranges) > _MOST_ROWS:
        app.out(f"  and {plural(len(ranges) - _MOST_ROWS, 'more range')} of rows (--json has them all)")


def _range(rows: RowRange) -> str:
    if not any(part.name for part in rows.key):
        return f"{plural(rows.count, 'row')} without a key"
    after, upto = (None if key is None else clean(key_text(_key(rows, key))) for key in (rows.after, rows.upto))
    if rows.count == 1 and upto is not None:
        return f"row {upto}"
    number = f"{count(rows.count)} rows"
    if after is None and upto is None:
        return f"all {number}" if rows.count != 1 else "its one row"
    begin = "from the first" if after is None else f"after {after}"
    return f"{number} {begin} {'to the last' if upto is None else f'to {upto}'}"


def _key(rows: RowRange, key: bytes) -> dict[str, Any]:
    return keys_of(rows.key, Cells.of([key], width=width_of(rows.key)))[0]


def _json(verified: Verified, sample: Sample | None) -> dict[str, Any]:
    return {
        "sample": None if sample is None else {"round": sample.round, "share": sample.share + 1, "of": sample.shares},
        "damaged": [_damage_json(damage) for damage in verified.damaged],
        "harmless": [_damage_json(damage) for damage in verified.harmless],
        "snapshots": list(verified.snapshots),
        "blobs": verified.blobs,
        "bytes_read": verified.bytes_read,
        "protected": verified.is_protected,
    }


def _damage_json(damage: Damage) -> dict[str, Any]:
    return {
        "object": damage.object,
        "reason": damage.reason,
        "blob": damage.blob,
        "pack": damage.pack,
        "snapshots": list(damage.snapshots),
        "tables": list(damage.tables),
        "rows": [
            {
                "source": rows.source,
                "table": rows.table,
                "column": rows.column,
                "after": None if rows.after is None else _key(rows, rows.after),
                "upto": None if rows.upto is None else _key(rows, rows.upto),
                "count": rows.count,
            }
            for rows in damage.rows
        ],
    }
