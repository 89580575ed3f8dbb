"""From samples to the tables of docs/benchmarks.md: medians, and ratios pair by pair.

    print(table(required(newest())))

A ratio is the median over the rounds of (ours / peer in the same round), which is not the ratio of the medians. Pure:
the same samples give the same words, so a page made from them cannot go stale unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.results import Results, Sample

__all__ = ["Line", "about", "caution", "headlines", "lines", "more", "required", "table"]

Value = Callable[[Sample], float]

_USUAL_ROWS = 40_000
_ONE_IN = 0.01  # ratios below this are said as 1/n


@dataclass(frozen=True, slots=True)
class Line:
    """One row: what ours and the peer's cost, in words, and the number held against `must` and `aim` (if any).

    `unit` is that number's: `×` for a ratio, else what it is measured in; then there is no peer.
    """

    what: str
    ours: str
    peer: str
    value: float
    unit: str
    must: float | None = None
    aim: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether it reaches what it must; true if nothing is asked."""
        return self.must is None or self.value <= self.must


def lines(results: Results) -> list[Line]:
    """Every line these samples allow, in the order of the page; a case that was not run has none."""
    return required(results) + more(results)


def required(results: Results) -> list[Line]:
    """What the project holds itself to."""
    made = _Lines(results)
    ratio, alone = made.ratio, made.alone
    wide, half, narrow = _sizes(results)
    ratio(
        f"{narrow}, nothing changed: take, over draining `SELECT id, xmin`", "narrow idle take", "narrow stamps", 3, 1.5
    )
    for kind, rows in (("wide", wide), ("half", half)):
        of = "decay restic"
        if kind == "wide":
            ratio(
                f"{rows}, every heat decayed: take, over `pg_dump \\| restic backup`",
                f"{kind} decay",
                f"{kind} {of}",
                0.15,
                0.05,
            )
        else:
            ratio(f"{rows}, the same", f"{kind} decay", f"{kind} {of}")
    for kind, rows in (
        ("wide", f"{wide}, 10 columns"),
        ("wide20", f"{wide}, 20 columns"),
        ("half", f"{half}, 10 columns"),
    ):
        must, aim = (1 / 300, 1 / 800) if kind != "half" else (None, None)
        ratio(
            f"{rows}, every heat decayed: bytes added, over restic's",
            f"{kind} decay",
            f"{kind} decay restic",
            must,
            aim,
            value=_added,
        )
    edits = results.rows.get("edits", 1)
    for kind, rows in (("wide", wide), ("half", half)):
        alone(
            f"{rows}, {edits} scattered edits: bytes added an edit, beside new vectors and long texts",
            f"{kind} edits",
            lambda sample: (sample.facts["added_bytes"] - sample.facts["added_values"]) / 1000 / edits,
            "KB",
            6,
            3,
        )
    alone(f"{wide}, an idle day: bytes added", "wide idle", lambda sample: _added(sample) / 1000, "KB", 4)
    for kind, rows in (("wide", wide), ("half", half)):
        ratio(f"{rows}: full take, over draining the same `COPY`", f"{kind} take", f"{kind} drain", 2.2, 1.7)
        ratio(f"{rows}: the same without verification", f"{kind} take unverified", f"{kind} drain", 1.9, 1.4)
    for kind, rows in (("wide", wide), ("half", half)):
        ratio(
            f"{rows}: restore into an empty table, over `COPY FROM` of the same rows",
            f"{kind} refill",
            f"{kind} copy",
            1.5,
            1.2,
        )
    for kind, rows in (("wide", wide), ("half", half)):
        ratio(
            f"{rows}, every heat decayed: undo, over a full restore", f"{kind} undo decay", f"{kind} restore", 0.35, 0.2
        )
    ratio(f"{wide}: export as JSON, over `psql \\copy` as CSV", "wide export", "wide psql csv", 2)
    undone = f"{results.rows.get('undone', 0):,} of {narrow} changed: undo"
    alone(undone, "narrow undo some", _seconds, "s", 4, 2)
    for kind, words in (("month", "384"), ("month_wide", "1536")):
        rows = f"{results.rows.get(kind, 0):,} × {words}, 30 days"
        ratio(
            f"{rows}: repository, over restic's", f"{kind} snap", f"{kind} restic", 0.15, 0.08, value=_stored, last=True
        )
    for kind, words in (("narrow", "narrow rows"), ("half", "× 384")):
        made.growth(f"scale {kind}", words)
    return made.found


def more(results: Results) -> list[Line]:
    """What else was measured."""
    made = _Lines(results)
    ratio, alone = made.ratio, made.alone
    wide, half, narrow = _sizes(results)
    for kind, rows in (("wide", wide), ("half", half), ("narrow", narrow)):
        ratio(f"{rows}: full take, over `pg_dump -Fc`", f"{kind} take", f"{kind} pg_dump")
        ratio(f"{rows}: stored bytes, over `pg_dump -Fc`", f"{kind} take", f"{kind} pg_dump", value=_stored)
        ratio(f"{rows}: restore into an empty database, over `pg_restore`", f"{kind} restore", f"{kind} pg_restore")
    ratio(f"{narrow}: full take, over draining the same `COPY`", "narrow take", "narrow drain")
    ratio(f"{narrow}: the same without verification", "narrow take unverified", "narrow drain")
    ratio(f"{narrow}: restore into an empty table, over `COPY FROM` of the same rows", "narrow refill", "narrow copy")
    decayed = f"{wide}, every heat decayed"
    ratio(f"{decayed}: take, over draining every row", "wide decay", "wide decay drain")
    for peer, words in (("borg", "`pg_dump \\| borg create`"), ("pg_basebackup", "`pg_basebackup --incremental`")):
        ratio(f"{decayed}: take, over {words}", "wide decay", f"wide decay {peer}")
        ratio(f"{decayed}: bytes added, over {words}", "wide decay", f"wide decay {peer}", value=_added)
    for kind, words in (("month", "384"), ("month_wide", "1536")):
        rows = f"{results.rows.get(kind, 0):,} × {words}, 30 days"
        for peer in ("borg", "pg_dump -Fc", "pg_basebackup"):
            ratio(
                f"{rows}: repository, over that of `{peer}`", f"{kind} snap", f"{kind} {peer}", value=_stored, last=True
            )
    alone("`snap --version`: what every command pays to start", "start", _seconds, "s")
    return made.found


def headlines(results: Results) -> list[Line]:
    """What the README shows: of comparisons with programs that people use those with a limit, and all that we lose."""
    programs = ("restic", "borg", "pg_dump", "pg_restore", "pg_basebackup")
    compared = [line for line in lines(results) if line.peer and any(program in line.what for program in programs)]
    return [line for line in compared if line.must is not None or line.value > 1]


def table(found: Sequence[Line]) -> str:
    """The lines as a Markdown table; what misses its must is bold."""
    head = ["| what | ours | peer | ratio | must | aim | |", "|---|---:|---:|---:|---:|---:|---|"]
    if all(line.must is None and line.aim is None for line in found):
        head = ["| what | ours | peer | ratio |", "|---|---:|---:|---:|"]
        return "\n".join([*head, *(f"| {' | '.join(_cells(line)[:4])} |" for line in found)])
    return "\n".join([*head, *(f"| {' | '.join(_cells(line))} |" for line in found)])


def about(results: Results) -> str:
    """When, where and with what, in two sentences, and who was missing."""
    where, used = results.machine, results.versions
    libraries = ", ".join(f"{name} {number}" for name, number in used.items() if name != "snapstore")
    missing = f" Not installed, so not compared: {', '.join(results.absent)}." if results.absent else ""
    return (
        f"{results.date[:10]}, snapstore {used['snapstore']}, {where['cores']} cores ({where['processor']}), "
        f"{where['memory_bytes'] / 2**30:.0f} GB, {where['system']}, load {where['load_before']} before the run; "
        f"{results.repeats} rounds. With {libraries}.{missing}"
    )


def caution(results: Results) -> str:
    """What must be said of a run that is not what the page is meant to show; nothing of one that is."""
    busy = float(results.machine["load_before"]) > int(results.machine["cores"] or 1)
    small = results.rows["wide"] < _USUAL_ROWS
    if not (busy or small):
        return ""
    why = " and ".join(["on a busy machine"] * busy + ["at a small size, where starting a process costs most"] * small)
    return (
        f"\n**A run {why}: it shows that everything is measured, and how bytes compare, not how fast anything is.**\n"
    )


class _Lines:
    """Collects lines; passes over those whose samples are not there."""

    def __init__(self, results: Results) -> None:
        self._samples: dict[str, list[Sample]] = {}
        for sample in results.samples:
            self._samples.setdefault(sample.what, []).append(sample)
        self.found: list[Line] = []

    def ratio(
        self,
        what: str,
        ours: str,
        peer: str,
        must: float | None = None,
        aim: float | None = None,
        *,
        value: Value | None = None,
        last: bool = False,
    ) -> None:
        """A comparison, of seconds of the process unless another value is named; `last`: of the last round alone."""
        of = value or _seconds
        show = _time if value is None else _bytes
        mine, theirs = ({sample.round: of(sample) for sample in self._samples.get(name, [])} for name in (ours, peer))
        both = sorted(mine.keys() & theirs.keys())[-1 if last else 0 :]
        if both:
            shown = [show(median(side[turn] for turn in both)) for side in (mine, theirs)]
            self.found.append(
                Line(what, shown[0], shown[1], median(mine[turn] / theirs[turn] for turn in both), "×", must, aim)
            )

    def alone(
        self, what: str, ours: str, value: Value, unit: str, must: float | None = None, aim: float | None = None
    ) -> None:
        """A number held against nothing but its aim."""
        values = [value(sample) for sample in self._samples.get(ours, [])]
        if values:
            number = median(values)
            shown = _time(number) if unit == "s" else f"{number:,.{2 if number < 10 else 1}f} {unit}"
            self.found.append(Line(what, shown, "", number, unit, must, aim))

    def growth(self, prefix: str, words: str) -> None:
        """From the second largest table to the largest: time, over that of rows; and the most memory of any command."""
        sizes = sorted({int(name.split()[2]) for name in self._samples if name.startswith(prefix + " ")})
        if len(sizes) < 2:
            return
        small, large = sizes[-2:]
        for operation in ("take", "idle", "edits", "restore"):
            times = [median(map(_seconds, self._samples[f"{prefix} {size} {operation}"])) for size in (small, large)]
            grown = times[1] / times[0] / (large / small)
            what = f"{small:,} to {large:,} {words}: time of {_OPERATIONS[operation]}, over growth of rows"
            self.found.append(Line(what, _time(times[1]), _time(times[0]), grown, "×", 1))
        for size in (small, large):
            of = [
                sample
                for name, found in self._samples.items()
                if name.startswith(f"{prefix} {size} ")
                for sample in found
            ]
            peak = max(map(_peak, of))
            self.found.append(
                Line(f"{size:,} {words}: most memory of any command", f"{peak:,.0f} MB", "", peak, "MB", 400)
            )


_OPERATIONS = {"take": "a full take", "idle": "an idle take", "edits": "a take after 200 edits", "restore": "a restore"}


def _sizes(results: Results) -> tuple[str, str, str]:
    rows = {name: f"{results.rows.get(name, 0):,}" for name in ("wide", "half", "narrow")}
    return f"{rows['wide']} × 1536", f"{rows['half']} × 384", f"{rows['narrow']} narrow rows"


def _cells(line: Line) -> list[str]:
    ratio = _ratio(line.value) if line.unit == "×" else ""
    ours = line.ours
    if not line.is_met:
        ratio, ours = (f"**{ratio}**", ours) if ratio else ("", f"**{ours}**")
    unit = "" if line.unit == "×" else f" {line.unit}"
    wanted = ["" if number is None else f"≤ {_ratio(number)}{unit}" for number in (line.must, line.aim)]
    verdict = "" if line.must is None else "met" if line.is_met else "**missed**"
    return [line.what, ours, line.peer, ratio, *wanted, verdict]


def _ratio(number: float) -> str:
    return f"1/{1 / number:,.0f}" if 0 < number < _ONE_IN else f"{number:.3g}"


def _seconds(sample: Sample) -> float:
    return sample.seconds


def _stored(sample: Sample) -> float:
    return float(sample.facts["stored_bytes"])


def _added(sample: Sample) -> float:
    return float(sample.facts["added_bytes"])


def _peak(sample: Sample) -> float:
    return sample.peak_bytes / 1e6


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2f} s" if seconds >= 1 else f"{seconds:.3f} s"


def _bytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} KB"
