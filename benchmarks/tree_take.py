"""A take of a folder in which nothing changed beside `restic backup` of the same, in turn: A B, A B, …

    python -m benchmarks.tree_take --files 20000 --repeats 7

A program of its own, since it needs the program `restic` and no server. Both sides are whole processes over a folder in
the operating system's cache, each with a snapshot of it already; restic's key derivation is part of its time, as it is
for whoever runs it. Then a hundredth of the files change and both are measured once more. Processor time is told too:
on a machine that does other work it is what says more.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.process import Run, run

_SETTLE_SECONDS = 3
_PASSWORD = "x"


def main() -> int:
    """Measure, and print a line a round and the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tree_take", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="files of about 900 bytes in 200 folders (20,000)")
    parser.add_argument("--repeats", type=int, default=7, help="rounds (7)")
    arguments = parser.parse_args()
    os.environ["RESTIC_PASSWORD"] = _PASSWORD
    with tempfile.TemporaryDirectory(prefix="snap-bench-") as folder:
        tree, snap, restic = Path(folder) / "tree", Path(folder) / "snap", Path(folder) / "restic"
        dice = random.Random(1)
        for number in range(arguments.files):
            _write(_place(tree, number), dice)
        time.sleep(_SETTLE_SECONDS)  # times this young are trusted by nobody
        ours = [sys.executable, "-m", "snap_cli", "-r", str(snap)]
        run([*ours, "init"])
        run(["restic", "-r", str(restic), "-q", "init"])
        take = [*ours, "take", str(tree)]
        backup = ["restic", "-r", str(restic), "-q", "backup", str(tree)]
        _tell("first", [(run(take), run(backup))])
        _tell("unchanged", [(run(take), run(backup)) for _ in range(arguments.repeats)], aim="≤ 1.5 in seconds")
        pairs = []
        for _ in range(arguments.repeats):
            for number in dice.sample(range(arguments.files), arguments.files // 100):
                _write(_place(tree, number), dice)
            time.sleep(_SETTLE_SECONDS)
            pairs.append((run(take), run(backup)))
        _tell("a hundredth changed", pairs)
    return 0


def _place(tree: Path, number: int) -> Path:
    return tree / f"project{number % 40}" / f"topic{number % 200}" / f"note{number}.md"


def _write(path: Path, dice: random.Random) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("---\ntitle: a note\n---\n" + " ".join(f"{dice.random():.17f}" for _ in range(45)) + "\n")


def _tell(what: str, pairs: list[tuple[Run, Run]], aim: str = "") -> None:
    for name in ("seconds", "cpu_seconds"):
        ours, peer = ([getattr(pair[side], name) for pair in pairs] for side in (0, 1))
        ratio = statistics.median(a / b for a, b in zip(ours, peer, strict=True))
        print(
            f"{what}, {name}: snap take {statistics.median(ours):.2f}, restic backup {statistics.median(peer):.2f}, "
            f"ratio {ratio:.2f}" + (f" ({aim} is the aim)" if aim else "")
        )


if __name__ == "__main__":
    sys.exit(main())
