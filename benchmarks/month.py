"""Thirty days of an agent's memory, with a night's backup of each kind after each of them.

    month(bench)

What happens on which day is in `changes.calendar`. The first week brings one kind of change a night, so that its price
shows; after it everything happens every day.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.bench import Bench, expect, total
from benchmarks.changes import CHANGES, calendar

__all__ = ["month"]

_TABLES = ("memories", "episodes")


def month(bench: Bench) -> None:
    """With real vectors beside every peer, and with random ones of 1,536 dimensions beside restic."""
    _month(bench, "month", bench.sizes.month, 384, bench.peers)
    if bench.sizes.month_wide:
        _month(bench, "month_wide", bench.sizes.month_wide, 1536, [name for name in bench.peers if name == "restic"])


def _month(bench: Bench, kind: str, rows: int, dimensions: int, peers: Sequence[str]) -> None:
    with (
        bench.database(kind, "month", rows, "--dimensions", str(dimensions)) as url,
        bench.keepers(peers, url) as keepers,
        bench.repository() as repository,
    ):
        for day, kinds in enumerate(calendar(bench.sizes.days)):
            statements = [one for name in kinds for one in CHANGES[name](day, _TABLES, dimensions)]
            bench.execute(url, *statements)
            bench.say(f"day {day + 1}: {', '.join(kinds) or 'nothing'}")
            said = bench.own_night(f"{kind} snap", day, repository, url)
            held = sum(int(bench.ask(url, f"SELECT count(*) FROM {table}")) for table in _TABLES)
            expect(total(said["sources"][0], "rows") == held, "take", said)
            for keeper in keepers:
                bench.night(f"{kind} {keeper.name}", day, keeper, day)
