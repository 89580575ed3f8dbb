"""`python -m benchmarks`, which `make bench` runs: measure, keep the samples, print the table.

At full size the samples go to benchmarks/results; `make docs` then makes docs/benchmarks.md from the newest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.cases import SETTINGS, Sizes, measure
from benchmarks.process import Failed
from benchmarks.report import about, lines, table
from benchmarks.results import FOLDER, write
from snap_cli.embedded import EmbeddedServer
from snapstore.errors import SnapstoreError


def main() -> int:
    """Measure; 1 if a side failed or gave a wrong answer. What misses its aim is no failure: machines differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure snapstore beside its peers.")
    parser.add_argument("--rows", type=int, help="rows of the wide table (40,000); the others keep their proportion")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of every comparison (3)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the cases whose name contains this")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="keep the samples here")
    parser.add_argument("--scratch", type=Path, metavar="FOLDER", help="repositories and dumps (2 GB) go below this")
    arguments = parser.parse_args()
    sizes = Sizes() if arguments.rows is None else Sizes.of(arguments.rows)
    output = arguments.output or (FOLDER if sizes == Sizes() and not arguments.only else None)
    try:
        with (
            EmbeddedServer(settings=SETTINGS) as server,
            tempfile.TemporaryDirectory(prefix="snap-bench-", dir=arguments.scratch) as folder,
        ):
            results = measure(server, Path(folder), sizes, repeats=arguments.repeats, only=arguments.only, say=_say)
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
