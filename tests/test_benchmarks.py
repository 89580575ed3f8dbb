"""The benchmark suite runs and says everything it promises, at a size where its seconds mean nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import vector_index
from benchmarks.cases import Sizes, measure
from benchmarks.process import Failed, run
from benchmarks.report import Line, about, lines, table
from benchmarks.results import Results, Sample, newest, read, write
from snap_cli.embedded import EmbeddedServer

FULL = Results(
    date="2026-01-31T02:00:00Z",
    machine={"system": "Linux x86_64", "processor": "one", "cores": 2, "memory_bytes": 2**33, "load_before": 0.5},
    versions={"snapstore": "1", "python": "3.11"},
    rows={"wide": 40_000, "narrow": 1_000_000, "small": 100_000, "changed": 100},
    repeats=3,
    samples=(),
)


def sample(what: str, turn: int, seconds: float, peak_bytes: int = 0) -> Sample:
    return Sample(what, turn, seconds, seconds, peak_bytes, {"stored_bytes": 1000, "own_seconds": seconds})


def without_sizes(line: Line) -> str:
    return re.sub(r"[\d,]+ (?=of|rows|narrow|×)", "n ", line.what)


@pytest.fixture(scope="module")
def results(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return measure(server, tmp_path_factory.mktemp("bench"), Sizes.of(40), repeats=1, say=lambda _: None)


def test_every_line_of_the_report_is_produced(results: Results) -> None:
    assert [without_sizes(line) for line in lines(results)] == [without_sizes(line) for line in lines(newest())]
    assert sum(line.must is not None for line in lines(results)) == 16


def test_every_sample_says_what_it_cost(results: Results) -> None:
    for one in results.samples:
        assert one.seconds > 0
        assert one.peak_bytes > 1_000_000, one.what
    assert len({(one.what, one.round) for one in results.samples}) == len(results.samples)


def test_results_name_no_place(results: Results, server: EmbeddedServer, tmp_path: Path) -> None:
    text = write(results, tmp_path).read_text(encoding="utf-8")
    assert str(server.folder) not in text
    assert "/" not in text.replace(" / ", "")


def test_results_come_back_as_they_were_kept(results: Results, tmp_path: Path) -> None:
    assert read(write(results, tmp_path)) == results
    assert newest(tmp_path) == results


def test_a_ratio_is_taken_round_by_round() -> None:
    ours, peer = (2.0, 8.0, 3.0), (1.0, 2.0, 3.0)
    samples = [sample("wide take", turn, seconds) for turn, seconds in enumerate(ours)]
    samples += [sample("wide drain", turn, seconds) for turn, seconds in enumerate(peer)]
    (line,) = lines(replace(FULL, samples=tuple(samples)))[:1]
    assert (line.value, line.ours, line.peer, line.is_met) == (2.0, "3.00 s", "2.00 s", True)


def test_what_misses_its_must_is_bold() -> None:
    samples = (sample("wide take", 0, 4.0, 500_000_000), sample("wide drain", 0, 1.0))
    text = table(lines(replace(FULL, samples=samples)))
    assert "| 4.00 s | 1.00 s | **4** | ≤ 3 | ≤ 1.7 |" in text
    assert "| **500 MB** |  |  | ≤ 400 MB | ≤ 250 MB |" in text


def test_a_program_that_fails_gives_no_number() -> None:
    with pytest.raises(Failed, match=r"ended with 2: .*no-such-place"):
        run(["ls", "no-such-place"])


def test_the_page_shows_the_newest_results() -> None:
    page = (Path(__file__).parent.parent / "docs/benchmarks.md").read_text(encoding="utf-8")
    kept = newest()
    assert about(kept) in page
    assert table(lines(kept)) in page


def test_the_rule_for_vector_indexes_is_what_was_measured() -> None:
    kept = newest(vector_index.SAMPLES)
    assert {sample.facts["method"] for sample in kept.samples} == {"hnsw", "ivfflat"}
    for rows in kept.rows.values():
        for method, sides in vector_index.SIDES.items():
            points = vector_index.curve(kept, method, rows, of="cpu_seconds")
            assert [share for share, _ in points] == list(vector_index.SHARES)
            assert all(tuple(seconds) == sides for _, seconds in points)
    at = {"keep": 1.0, "fits": 2.0}, {"keep": 4.0, "fits": 2.0}
    assert vector_index.crossing([(0.1, at[0]), (0.3, at[1])], "fits") == pytest.approx(0.1 + 0.2 / 3)
    assert vector_index.crossing([(0.1, at[0]), (0.3, at[0])], "fits") is None
