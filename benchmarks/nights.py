"""One night at full size: what a take adds and costs when nothing, everything, or a little has changed.

    nights(bench, "wide", url, rows, 1536)

Every peer keeps all its nights, as `snap` does; each has had a first one, which is not measured.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench import Bench, expect, total
from benchmarks.changes import CHANGES, edit_some
from benchmarks.peers import Keeper
from benchmarks.process import run

__all__ = ["nights", "one_night"]

_TABLE = ["memories"]


def nights(bench: Bench, kind: str, url: str, rows: int, dimensions: int) -> None:
    """An idle night, a decay of every row, and some edits, in turn.

    Peers see the decay alone; of 384 dimensions only restic does.
    """
    names = [name for name in bench.peers if name != "pg_dump -Fc" and (kind == "wide" or name == "restic")]
    with bench.keepers(names, url) as keepers, bench.repository(url) as repository:
        _first_nights(bench, keepers)
        for turn in range(bench.repeats):
            bench.own_night(f"{kind} idle", turn, repository, url)
            # restic is who the ratios are over; the others need to be seen once.
            _decay(bench, kind, turn, url, repository, keepers if turn == 0 else keepers[:1])
            count = bench.sizes.edits
            changed = bench.execute(url, edit_some("memories", count, rows, turn + 1, dimensions))
            expect(changed == count, "the edit", {"rows": changed})
            said = bench.own_night(f"{kind} edits", turn, repository, url)
            expect(total(said["sources"][0], "changed") == count, "edits", said)


def one_night(bench: Bench, kind: str, url: str) -> None:
    """A decay of every row, beside restic: bytes, which are the same in every round."""
    names = [name for name in bench.peers if name == "restic"]
    with bench.keepers(names, url) as keepers, bench.repository(url) as repository:
        _first_nights(bench, keepers)
        _decay(bench, kind, 0, url, repository, keepers)


def _decay(bench: Bench, kind: str, turn: int, url: str, repository: Path, keepers: list[Keeper]) -> None:
    rows = bench.execute(url, *CHANGES["decay"](turn, _TABLE, 0))
    said = bench.own_night(f"{kind} decay", turn, repository, url)
    expect(total(said["sources"][0], "changed") == rows, "decay", said)
    bench.python(f"{kind} decay drain", turn, "drain", url, "memories")
    for keeper in keepers:
        bench.night(f"{kind} decay {keeper.name}", turn, keeper, turn + 1)


def _first_nights(bench: Bench, keepers: list[Keeper]) -> None:
    for keeper in keepers:
        run(*keeper.night(0), environment=bench.environment())
