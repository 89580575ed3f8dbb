"""`python -m benchmarks`, which `make bench` runs: measure, keep the samples, print the table.

At the usual size the samples go to benchmarks/results; `make docs` then makes docs/benchmarks.md and its plots from the
newest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.bench import SETTINGS, Sizes
from benchmarks.cases import measure
from benchmarks.peers import PEERS, absent
from benchmarks.process import Failed
from benchmarks.report import about, lines, table
from benchmarks.results import FOLDER, write
from snap_cli.embedded import EmbeddedServer
from snapstore.errors import SnapstoreError


def main() -> int:
    """Measure; 1 if a side failed or gave a wrong answer. What misses its aim is no failure: machines differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure snapstore beside its peers.")
    parser.add_argument("--rows", type=int, help="rows of the wide table (40,000); the others keep their proportion")
    parser.add_argument("--full", action="store_true", help="a million memories, and months of 10,000 (hours)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of every comparison (3)")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="TEXT", help="only cases whose name contains one of these"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="keep the samples here")
    parser.add_argument("--scratch", type=Path, metavar="FOLDER", help="repositories and dumps (4 GB) go below this")
    arguments = parser.parse_args()
    usual = Sizes.full() if arguments.full else Sizes()
    sizes = usual if arguments.rows is None else Sizes.of(arguments.rows)
    output = arguments.output or (FOLDER if sizes == usual and arguments.only == [""] else None)
    for name in absent():
        _say(f"{name} is not installed: nothing is compared with it (Debian, Ubuntu: apt install restic borgbackup)")
    try:
        with (
            EmbeddedServer(settings=SETTINGS) as server,
            tempfile.TemporaryDirectory(prefix="snap-bench-", dir=arguments.scratch) as folder,
        ):
            results = measure(
                server,
                Path(folder),
                sizes,
                repeats=arguments.repeats,
                peers=[name for name in PEERS if name not in absent()],
                only=arguments.only,
                say=_say,
            )
    except (Failed, SnapstoreError) as error:
        print(f"the benchmark ended early: {error}", file=sys.stderr)
        return 1
    print(about(results), table(lines(results)), sep="\n\n")
    if output is not None:
        _say(f"every sample is in {write(results, output)}; `make docs` makes the page from it")
    return 0


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
