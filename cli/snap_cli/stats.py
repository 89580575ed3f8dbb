"""`snap stats`: where the space goes, what each snapshot alone takes, and how it grew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from snap_cli.completing import snapshot_names
from snap_cli.context import App, command
from snap_cli.manifests import snapshot_place
from snap_cli.render import amount, clean, columns, count, moment, paint, plural
from snapstore.errors import Invalid, Unsupported
from snapstore.operations.ownership import Amount
from snapstore.operations.stats import Removal, Stats, removal, stats
from snapstore.repository import Repository, Snapshot, resolve_all

__all__ = ["stats_command"]

_BARS = " ▁▂▃▄▅▆▇█"
_WIDE, _HIGH = 64, 6
_SHOWN = 10


@command("stats", example="snap stats\nsnap stats latest~7 latest~6\nsnap stats --plot growth.png")
@click.argument("names", metavar="[SNAP]...", shell_complete=snapshot_names, nargs=-1)
@click.option("--all", "show_all", is_flag=True, help=f"Every snapshot, not the newest {_SHOWN} alone.")
@click.option("--plot", metavar="FILE.png", help="Draw how the repository grew (needs the extra `plot`).")
@click.pass_obj
def stats_command(app: App, names: tuple[str, ...], show_all: bool, plot: str | None) -> None:
    """Show where the space goes: by source, table and kind of blob, and what each snapshot alone takes.

    With SNAP, what removing these snapshots, all of them together, would give back.
    """
    repository = app.repository()
    if names:
        if plot is not None:
            raise Invalid("--plot draws all snapshots", hint="Leave the names out: `snap stats --plot FILE.png`.")
        chosen = resolve_all(repository.snapshots(), names)
        _removal(app, repository, chosen)
        return
    if plot is not None and not plot.lower().endswith(".png"):
        raise Invalid(f"{plot!r} is not a PNG file by its name", hint="Name it `growth.png`, say.")
    draw = _drawing() if plot is not None else None
    with app.progress() as progress:
        found = stats(repository, progress=progress)
    if draw is not None and plot is not None:
        draw([(one.snapshot.time, size) for one, size in zip(found.snapshots, found.growth, strict=True)], Path(plot))
        app.say(f"drawn: {plot}")
    if app.json:
        app.document(_document(found))
        return
    for line in _lines(found, show_all):
        app.out(line)


def _drawing() -> Any:
    """What draws. Raises `Unsupported` without the extra, before anything is measured."""
    try:
        from snap_cli.growth import draw
    except ImportError as error:
        raise Unsupported(
            "drawing a PNG needs the library `matplotlib`", hint="Install it with `pip install 'snapstore[plot]'`."
        ) from error
    return draw


def _lines(found: Stats, show_all: bool) -> Iterator[str]:
    kept = found.objects.get("packs", 0)
    live = round(found.live.stored_bytes)
    yield f"{plural(len(found.snapshots), 'snapshot')}, {amount(sum(found.objects.values()))} stored"
    others = ", ".join(f"{clean(name)} {amount(size)}" for name, size in sorted(found.objects.items()))
    yield f"  {others}"
    if not found.snapshots:
        return
    yield (
        f"  {amount(found.alone_bytes)} if each snapshot stood alone: deduplication {found.deduplication:,.1f} ×, "
        f"then compression {found.compression:,.2f} ×"
    )
    yield f"  {amount(live)} of the packs are needed, {amount(max(0, kept - live))} are garbage or directories"
    yield ""
    shown = [["source", "table", "blobs", "size", "stored"]]
    shown += [
        [source or "(restores)", table or "(the source itself)", *_numbers(size)]
        for (source, table), size in sorted(found.tables.items(), key=lambda one: -one[1].stored_bytes)
        if size.blobs
    ]
    yield columns(shown, right={2, 3, 4}, indent=0)
    yield ""
    kinds = [[kind.name.lower(), *_numbers(size)] for kind, size in sorted(found.kinds.items())]
    yield columns([["kind", "blobs", "size", "stored"], *kinds], right={1, 2, 3}, indent=0)
    yield ""
    newest = found.snapshots if show_all else found.snapshots[-_SHOWN:]
    rows = [["snapshot", "taken", "new", "only here", "only here, stored"]]
    rows += [
        [
            one.snapshot.id[:8], moment(one.snapshot.time), amount(one.first.plain_bytes),
            amount(one.unique.plain_bytes), amount(round(one.unique.stored_bytes)),
        ]
        for one in newest
    ]  # fmt: skip
    yield columns(rows, right={2, 3, 4}, indent=0)
    if len(newest) < len(found.snapshots):
        yield f"… and {len(found.snapshots) - len(newest):,} older ones (--all)"
    yield ""
    yield from _plot([(one.snapshot, size) for one, size in zip(found.snapshots, found.growth, strict=True)])


def _numbers(size: Amount) -> list[str]:
    return [count(size.blobs), amount(size.plain_bytes), amount(round(size.stored_bytes))]


def _plot(growth: Sequence[tuple[Snapshot, int]]) -> Iterator[str]:
    """What the snapshots so far need, over time, in block characters."""
    first, last = growth[0][0].time, growth[-1][0].time
    most = max(size for _, size in growth) or 1
    across = min(_WIDE, max(8, len(growth)))
    seconds = (last - first).total_seconds() or 1.0
    heights = []
    at, size = 0, 0
    for place in range(across):
        until = seconds * (place + 1) / across
        while at < len(growth) and (growth[at][0].time - first).total_seconds() <= until:
            size = growth[at][1]
            at += 1
        heights.append(size * _HIGH * 8 // most)
    label = amount(most)
    yield paint("stored, over time", "dim")
    for row in range(_HIGH, 0, -1):
        bars = "".join(_BARS[min(8, max(0, height - 8 * (row - 1)))] for height in heights)
        yield f"{label if row == _HIGH else '':>10} {bars.rstrip()}"
    yield f"{'':>10} {moment(first)[:10]}{moment(last)[:10]:>{max(11, across - 10)}}"


def _removal(app: App, repository: Repository, snapshots: Sequence[Snapshot]) -> None:
    with app.progress() as progress:
        found = removal(repository, snapshots, progress=progress)
    if app.json:
        app.document(_removal_document(snapshots, found))
        return
    app.out(f"removing {plural(len(snapshots), 'snapshot')}: {' '.join(one.id[:8] for one in snapshots)}")
    stored = amount(round(found.unique.stored_bytes))
    blobs = plural(found.unique.blobs, "blob")
    app.out(f"  needed by no other: {blobs}, {amount(found.unique.plain_bytes)}, stored in {stored}")
    app.out(
        f"  gc would then free about {amount(found.freed_bytes)} (without removing them {amount(found.garbage_bytes)})"
    )
    if found.freed_bytes < found.unique.stored_bytes:
        app.say("  packs that hold more of what others need than of this are rewritten when that is no longer so")


def _removal_document(snapshots: Sequence[Snapshot], found: Removal) -> dict[str, Any]:
    return {
        "snapshots": [one.id for one in snapshots],
        "unique": _amount(found.unique),
        "bytes_freed": found.freed_bytes,
        "bytes_freed_without": found.garbage_bytes,
    }


def _amount(size: Amount) -> dict[str, int]:
    return {"blobs": size.blobs, "bytes": size.plain_bytes, "bytes_stored": round(size.stored_bytes)}


def _document(found: Stats) -> dict[str, Any]:
    return {
        "objects": dict(found.objects),
        "live": _amount(found.live),
        "bytes_alone": found.alone_bytes,
        "deduplication": round(found.deduplication, 4),
        "compression": round(found.compression, 4),
        "tables": [
            {"source": source or None, "name": table or None, **_amount(size)}
            for (source, table), size in found.tables.items()
        ],
        "kinds": {kind.name.lower(): _amount(size) for kind, size in sorted(found.kinds.items())},
        "snapshots": [
            {
                **snapshot_place(one.snapshot),
                "new": _amount(one.first),
                "unique": _amount(one.unique),
                "bytes_stored_so_far": size,
            }
            for one, size in zip(found.snapshots, found.growth, strict=True)
        ],
    }
