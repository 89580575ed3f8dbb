"""Samples of the month and of growth, in order: for the plots and tables of docs/benchmarks.md.

    for name, stored in growth(results, "month"): …
    print(price_table(results))

Pure, as `report` is.
"""

from __future__ import annotations

from statistics import median

from benchmarks.changes import EVERY_NIGHT, calendar
from benchmarks.peers import PEERS
from benchmarks.results import Results, Sample

__all__ = ["OPERATIONS", "SIDES", "growth", "month_table", "price", "price_table", "scale", "scale_table", "sizes"]

SIDES = ("snap", *PEERS)
"""Ours, then the peers, in the order they are shown."""

OPERATIONS = {
    "take": "full take",
    "idle": "take, nothing changed",
    "edits": "take after 200 edits",
    "diff": "diff of two snapshots",
    "diff live": "diff with the live rows",
    "restore": "restore",
}
"""What `scale` measures: the word in the samples, and the one for people."""

_SINGLE = {
    "nothing": 6,
    **{kind: 1 + place for place, kind in enumerate(EVERY_NIGHT)},
    "clean-up": 14,
    "re-embedding": 20,
}


def growth(results: Results, kind: str) -> dict[str, list[Sample]]:
    """Of each side that was measured its nights, in order."""
    found: dict[str, list[Sample]] = {}
    for side in SIDES:
        nights = [sample for sample in results.samples if sample.what == f"{kind} {side}"]
        if nights:
            found[side] = sorted(nights, key=lambda sample: sample.round)
    return found


def price(results: Results, kind: str) -> dict[str, dict[str, float]]:
    """Bytes that each side added in the night after each kind of change that came alone."""
    found: dict[str, dict[str, float]] = {}
    days = calendar(max((sample.round + 1 for sample in results.samples if sample.what == f"{kind} snap"), default=0))
    for change, day in _SINGLE.items():
        if day < len(days):
            found[change] = {side: nights[day].facts["added_bytes"] for side, nights in growth(results, kind).items()}
    return found


def scale(results: Results, kind: str) -> dict[str, list[tuple[int, Sample]]]:
    """Of each operation the sample at each size, in order of size."""
    found: dict[str, list[tuple[int, Sample]]] = {}
    for size in sizes(results, kind):
        for operation in OPERATIONS:
            found.setdefault(operation, []).extend(
                (size, sample) for sample in results.samples if sample.what == f"scale {kind} {size} {operation}"
            )
    return found


def sizes(results: Results, kind: str) -> list[int]:
    """The numbers of rows that were measured."""
    return sorted(
        {int(sample.what.split()[2]) for sample in results.samples if sample.what.startswith(f"scale {kind} ")}
    )


def price_table(results: Results, kind: str = "month") -> str:
    """What one night of each kind adds, by side."""
    found = price(results, kind)
    sides = list(growth(results, kind))
    lines = [_row(["before the night", *sides]), "|---|" + "---:|" * len(sides)]
    lines += [_row([change, *(_bytes(added[side]) for side in sides)]) for change, added in found.items()]
    return "\n".join(lines)


def month_table(results: Results) -> str:
    """What each side holds in the end, what its nights took, and ours over it."""
    lines = [
        "| 30 days | after the first night | in the end | ours over it | median night |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind, words in (("month", "× 384"), ("month_wide", "× 1536")):
        found = growth(results, kind)
        for side, nights in found.items():
            ours, theirs = (one[-1].facts["stored_bytes"] for one in (found["snap"], nights))
            lines.append(
                _row(
                    [
                        f"{results.rows[kind]:,} {words}: {side}",
                        _bytes(nights[0].facts["stored_bytes"]),
                        _bytes(theirs),
                        "" if side == "snap" else f"{ours / theirs:.3f}",
                        f"{median(sample.seconds for sample in nights[1:]):.2f} s" if len(nights) > 1 else "",
                    ]
                )
            )
    return "\n".join(lines)


def scale_table(results: Results) -> str:
    """Seconds and peak memory of each operation at each size."""
    blocks = []
    for kind, words in (("narrow", "narrow rows"), ("half", "memories × 384")):
        found = sizes(results, kind)
        if found:
            lines = [_row([words, *(f"{size:,}" for size in found)]), "|---|" + "---:|" * len(found)]
            for operation, samples in scale(results, kind).items():
                cells = [f"{sample.seconds:.2f} s, {sample.peak_bytes / 1e6:,.0f} MB" for _, sample in samples]
                lines.append(_row([OPERATIONS[operation], *cells]))
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _bytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} KB"
