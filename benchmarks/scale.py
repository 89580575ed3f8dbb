"""How cost grows with the table: every operation at ten thousand rows, a hundred thousand, and a million.

    scale(bench)

`narrow` rows show what is paid by the row, memories of 384 dimensions what is paid by the byte. One round each: the
curve is what is looked at.
"""

from __future__ import annotations

from benchmarks.bench import Bench, expect, python, total
from benchmarks.changes import edit_some

__all__ = ["scale"]


def scale(bench: Bench) -> None:
    """Narrow rows, then memories."""
    for rows in bench.sizes.scale:
        _operations(bench, "narrow", rows, 0)
    for rows in bench.sizes.scale_half:
        _operations(bench, "half", rows, 384)


def _operations(bench: Bench, kind: str, rows: int, dimensions: int) -> None:
    table, count = ("memories", bench.sizes.edits) if dimensions else ("events", bench.sizes.edits)
    count = min(count, rows // 4)
    made = ("memories", rows, "--dimensions", str(dimensions)) if dimensions else ("narrow", rows)
    with bench.database("scale", *made) as url, bench.repository() as repository:
        what, words = f"scale {kind} {rows}", ("-r", str(repository))
        bench.own_night(f"{what} take", 0, repository, url)
        bench.own_night(f"{what} idle", 0, repository, url)
        expect(bench.execute(url, edit_some(table, count, rows, 1, dimensions)) == count, "the edit", {})
        said = bench.own_night(f"{what} edits", 0, repository, url)
        expect(total(said["sources"][0], "changed") == count, what, said)
        pair = (str(repository), "latest~1", "latest")
        counted = bench.prepare(python("cold_diff", "count", *pair))
        facts = {name: counted[name] for name in ("blobs", "reads", "bytes")}
        bench.python(f"{what} diff alone", 0, "cold_diff", "time", *pair, **facts)
        said = bench.snap(f"{what} diff", 0, "diff", "-r", *pair)
        expect(total(said, "changed") == count, what, said)
        said = bench.snap(f"{what} diff live", 0, "diff", *words, "latest", "live", "--to", url)
        expect(total(said, "changed") == 0, what, said)
        with bench.empty_database() as to:
            said = bench.snap(f"{what} restore", 0, "restore", *words, "latest", "--to", to)
            expect(total(said, "insert") == rows, what, said)
