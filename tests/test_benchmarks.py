"""The benchmark suite runs and says everything it promises, at a size where its seconds mean nothing."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import vector_index
from benchmarks.bench import Sizes
from benchmarks.cases import measure
from benchmarks.changes import CHANGES, EVERY_NIGHT, calendar
from benchmarks.peers import PEERS, absent, begin, peer_environment
from benchmarks.process import Failed, run
from benchmarks.report import Line, about, caution, lines, more, required, table
from benchmarks.results import Results, Sample, newest, read, write
from benchmarks.series import month_table, price_table, scale_table
from snap_cli.embedded import EmbeddedServer
from tests.soak import IS_SOAK

PAGE = Path(__file__).parent.parent / "docs/benchmarks.md"
FULL = Results(
    date="2026-01-31T02:00:00Z",
    machine={"system": "Linux x86_64", "processor": "one", "cores": 2, "memory_bytes": 2**33, "load_before": 0.5},
    versions={"snapstore": "1", "python": "3.11"},
    rows={"wide": 40_000, "half": 40_000, "narrow": 1_000_000, "edits": 200, "undone": 1000},
    repeats=3,
    samples=(),
)

# What nobody has time for before the soak.
UNTRIED = () if IS_SOAK else ("narrow", "export")


def sample(what: str, turn: int, seconds: float, peak_bytes: int = 0) -> Sample:
    return Sample(what, turn, seconds, seconds, peak_bytes, {"stored_bytes": 1000, "own_seconds": seconds})


def without_sizes(line: Line) -> str:
    return re.sub(r"\d[\d,]* (?=of|to|rows|narrow|×|scattered|days)", "n ", line.what)


@pytest.fixture(scope="module")
def results(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Cases, without the peers that come from elsewhere: in the soak of every kind, else of one."""
    sizes = replace(Sizes.of(40), scale=(20,), scale_half=(), days=1, month_wide=0)
    only = ("start", "wide", *("export", "narrow", "scale", "month") * IS_SOAK)
    return measure(server, tmp_path_factory.mktemp("bench"), sizes, repeats=1, peers=(), only=only, say=lambda _: None)


def test_every_line_of_the_report_is_produced(results: Results) -> None:
    kept = [without_sizes(line) for line in lines(newest())]
    made = [without_sizes(line) for line in lines(results)]
    others = ("restic", "borg", "pg_basebackup", "n days", "× 384", "over growth", "most memory", *UNTRIED)
    assert made == [what for what in kept if not any(word in what for word in others)]


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
    (line,) = required(replace(FULL, samples=tuple(samples)))
    assert (line.value, line.ours, line.peer, line.is_met) == (2.0, "3.00 s", "2.00 s", True)


def test_what_misses_its_must_is_said() -> None:
    samples = (sample("wide take", 0, 4.0), sample("wide drain", 0, 1.0), sample("narrow undo some", 0, 3.0))
    text = table(required(replace(FULL, samples=samples)))
    assert "| 4.00 s | 1.00 s | **4** | ≤ 2.2 | ≤ 1.7 | **missed** |" in text
    assert "| 3.00 s |  |  | ≤ 4 s | ≤ 2 s | met |" in text


def test_small_ratios_are_said_as_one_in_so_many() -> None:
    ours, peer = (
        Sample(what, 0, 1, 1, 1, {"added_bytes": size})
        for what, size in (("wide decay", 1), ("wide decay restic", 1000))
    )
    (line,) = [one for one in required(replace(FULL, samples=(ours, peer))) if "bytes added" in one.what]
    assert "| 1/1,000 | ≤ 1/300 | ≤ 1/800 | met |" in table([line])


def test_a_small_or_busy_run_says_so() -> None:
    assert caution(FULL) == ""
    assert "busy" in caution(replace(FULL, machine={**FULL.machine, "load_before": 7}))
    assert "small" in caution(replace(FULL, rows={**FULL.rows, "wide": 400}))


def test_a_month_has_every_kind_of_change_and_idle_days() -> None:
    nights = calendar(30)
    assert len(nights) == 30
    assert {kind for kinds in nights for kind in kinds} == set(CHANGES)
    assert nights[1:6] == [(kind,) for kind in EVERY_NIGHT]
    assert nights.count(()) == 3


@pytest.mark.skipif(not IS_SOAK, reason="only in the soak (make soak)")
def test_every_peer_that_is_installed_keeps_its_nights(server: EmbeddedServer, database: str, tmp_path: Path) -> None:
    environment = {**os.environ, **peer_environment(tmp_path)}
    for name in PEERS:
        if name in (*absent(), "pg_basebackup"):  # which would copy the whole server of all tests
            continue
        keeper = begin(name, server.programs, tmp_path / name.replace(" ", ""), database, environment)
        stored = []
        for night in range(2):
            run(*keeper.night(night), environment=environment)
            stored.append(keeper.stored_bytes())
        assert 0 < stored[0] < stored[1], name


def test_of_a_pipe_the_output_is_the_last_ones_and_any_failure_is_said() -> None:
    assert run(["printf", "b\\na\\n"], ["sort"]).output == "a\nb\n"
    with pytest.raises(Failed, match=r"ended with 3"):
        run(["sh", "-c", "echo x; exit 3"], ["cat"])


def test_a_program_that_fails_gives_no_number() -> None:
    with pytest.raises(Failed, match=r"ended with 2: .*no-such-place"):
        run(["ls", "no-such-place"])


def test_the_page_shows_the_newest_results() -> None:
    page, kept = PAGE.read_text(encoding="utf-8"), newest()
    for part in (about(kept), table(required(kept)), table(more(kept))):
        assert part in page
    for part in (price_table(kept), month_table(kept), scale_table(kept)):
        assert part in page


def test_plots_are_drawn(tmp_path: Path) -> None:
    plots = pytest.importorskip("benchmarks.plots", reason="matplotlib is in the extra `bench`", exc_type=ImportError)
    assert [path.name for path in plots.draw(newest(), tmp_path)] == ["month.png", "nights.png", "scale.png"]


def test_the_plots_are_of_the_newest_results() -> None:
    pictures = re.findall(r"\((plots/\w+\.png)\)", PAGE.read_text(encoding="utf-8"))
    assert len(pictures) == 3
    for picture in pictures:
        assert newest().date.encode() in (PAGE.parent / picture).read_bytes()[:500], (
            f"{picture} is stale: run make bench"
        )


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
