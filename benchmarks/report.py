"""From samples to the table of docs/benchmarks.md: medians, and ratios pair by pair.

    print(table(lines(newest())))

A ratio is the median over the rounds of (ours / peer in the same round), which is not the ratio of the medians. Pure:
the same samples give the same words, so a page made from them cannot go stale unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.results import Results, Sample

__all__ = ["Line", "about", "lines", "table"]

Value = Callable[[Sample], float]


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
    rows = {name: f"{number:,}" for name, number in results.rows.items()}
    wide, narrow = f"{rows['wide']} × 1536", f"{rows['narrow']} narrow rows"
    by_name: dict[str, list[Sample]] = {}
    for sample in results.samples:
        by_name.setdefault(sample.what, []).append(sample)
    made = _Lines(by_name)
    ratio, alone = made.ratio, made.alone

    ratio(f"{wide}: full take, over draining the same COPY", "wide take", "wide drain", 3, 1.7)
    ratio("the same without verification", "wide take unverified", "wide drain")
    ratio("the same with verification, without the start of either process", "wide take", "wide drain", value=_own)
    ratio(f"{wide}: full take, over `pg_dump -Fc`", "wide take", "wide pg_dump", 0.1, 0.03)
    ratio("the same without verification", "wide take unverified", "wide pg_dump")
    ratio(f"{wide}: stored bytes, over `pg_dump -Fc`", "wide take", "wide pg_dump", 0.74, 0.70, value=_stored)
    ratio(f"{narrow}: full take, over `pg_dump -Fc`", "narrow take", "narrow pg_dump", 1.5, 0.7)
    ratio("the same without verification", "narrow take unverified", "narrow pg_dump")
    ratio(f"{narrow}: full take, over draining the same COPY", "narrow take", "narrow drain")
    ratio(f"{narrow}: stored bytes, over `pg_dump -Fc`", "narrow take", "narrow pg_dump", value=_stored)
    for kind, rows_of in (("wide", wide), ("narrow", narrow)):
        ratio(
            f"{rows_of}: restore into an empty database, over `pg_restore`",
            f"{kind} restore",
            f"{kind} pg_restore",
            0.5,
            0.3,
        )
        ratio("the same without verification", f"{kind} restore unverified", f"{kind} pg_restore")
    changed = f"{rows['changed']} of {rows['narrow']} rows changed"
    alone(f"{changed}: diff, cold, without the start of the process", "narrow diff alone", _own, "s", 0.5, 0.1)
    alone("the same as `snap diff`, with its start", "narrow diff", _seconds, "s")
    alone("the same, blobs read", "narrow diff alone", lambda sample: float(sample.facts["blobs"]), "blobs")
    alone(
        "the same, bytes read from the repository",
        "narrow diff alone",
        lambda sample: sample.facts["bytes"] / 1e6,
        "MB",
    )
    for kind, rows_of in (("small", f"{rows['small']} narrow rows"), ("narrow", narrow), ("wide", wide)):
        for operation in ("take", "diff live", "restore"):
            alone(f"{rows_of}: peak memory of {operation}", f"{kind} {operation}", _peak, "MB", 400, 250, of=max)
    alone(f"{wide}: nothing changed, take", "wide nothing take", _seconds, "s")
    alone("the same, bytes added", "wide nothing take", _added, "KB")
    alone(f"{wide}: every heat decayed, take", "wide decay take", _seconds, "s")
    alone("the same, bytes added", "wide decay take", _added, "KB")
    alone("`snap --version`: what every command pays to start", "start", _seconds, "s")
    return made.found


def table(found: Sequence[Line]) -> str:
    """The lines as a Markdown table; what misses its must is bold."""
    head = ["| what | ours | peer | ratio | must | aim |", "|---|---:|---:|---:|---:|---:|"]
    return "\n".join([*head, *(f"| {' | '.join(_cells(line))} |" for line in found)])


def about(results: Results) -> str:
    """When, where and with what, in two sentences."""
    where, used = results.machine, results.versions
    libraries = ", ".join(f"{name} {number}" for name, number in used.items() if name != "snapstore")
    return (
        f"{results.date[:10]}, snapstore {used['snapstore']}, {where['cores']} cores ({where['processor']}), "
        f"{where['memory_bytes'] / 2**30:.0f} GB, {where['system']}, load {where['load_before']} before the run; "
        f"{results.repeats} rounds. With {libraries}."
    )


class _Lines:
    """Collects lines; passes over those whose samples are not there."""

    def __init__(self, samples: dict[str, list[Sample]]) -> None:
        self._samples = samples
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
    ) -> None:
        """A comparison, of seconds of the process unless another value is named."""
        of, show = value or _seconds, _megabytes if value is _stored else _time
        mine, theirs = ({sample.round: of(sample) for sample in self._samples.get(name, [])} for name in (ours, peer))
        both = sorted(mine.keys() & theirs.keys())
        if both:
            ratios = [mine[turn] / theirs[turn] for turn in both]
            shown = show(median(mine.values())), show(median(theirs.values()))
            self.found.append(Line(what, *shown, median(ratios), "×", must, aim))

    def alone(
        self,
        what: str,
        ours: str,
        value: Value,
        unit: str,
        must: float | None = None,
        aim: float | None = None,
        *,
        of: Callable[[list[float]], float] = median,
    ) -> None:
        """A number held against nothing but its aim."""
        values = [value(sample) for sample in self._samples.get(ours, [])]
        if values:
            number = of(values)
            shown = (
                _time(number) if unit == "s" else f"{number:,.{1 if number < 100 and unit != 'blobs' else 0}f} {unit}"
            )
            self.found.append(Line(what, shown, "", number, unit, must, aim))


def _cells(line: Line) -> list[str]:
    ratio = f"{line.value:.3g}" if line.unit == "×" else ""
    ours = line.ours
    if not line.is_met:
        ratio, ours = (f"**{ratio}**", ours) if ratio else ("", f"**{ours}**")
    unit = "" if line.unit == "×" else f" {line.unit}"
    wanted = ["" if number is None else f"≤ {number:g}{unit}" for number in (line.must, line.aim)]
    return [line.what, ours, line.peer, ratio, *wanted]


def _seconds(sample: Sample) -> float:
    return sample.seconds


def _own(sample: Sample) -> float:
    return float(sample.facts["own_seconds"])


def _stored(sample: Sample) -> float:
    return float(sample.facts["stored_bytes"])


def _added(sample: Sample) -> float:
    return _stored(sample) / 1000


def _peak(sample: Sample) -> float:
    return sample.peak_bytes / 1e6


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2f} s" if seconds >= 1 else f"{seconds:.3f} s"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
