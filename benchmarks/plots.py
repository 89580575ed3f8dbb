"""Draws docs/plots/*.png from the newest results: `python -m benchmarks.plots`, which `make bench` runs at its end.

    draw(newest(), Path("docs/plots"))

Each picture carries the date of its results, so that a stale one can be told. It needs matplotlib (the extra `bench`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.results import Results, newest
from benchmarks.series import OPERATIONS, growth, price, scale

__all__ = ["FOLDER", "draw"]

FOLDER = Path(__file__).parent.parent / "docs/plots"

# Okabe and Ito's palette, which most colour-blind people can tell apart.
_COLOURS = {
    "snap": "#0072B2",
    "restic": "#D55E00",
    "borg": "#E69F00",
    "pg_dump -Fc": "#666666",
    "pg_basebackup": "#009E73",
}
_LINES = ["#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#D55E00"]
_STYLE: Any = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "savefig.dpi": 110,
}
_WIDTH_INCHES = 9.5


def draw(results: Results, folder: Path = FOLDER) -> list[Path]:
    """Every plot these results allow; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    mpl.use("Agg")
    found = []
    with mpl.rc_context(_STYLE):
        for name, make in (("month", _month), ("nights", _nights), ("scale", _scale)):
            figure = make(results)
            if figure is not None:
                path = folder / f"{name}.png"
                figure.savefig(path, metadata={"Description": results.date, "Software": None})
                pyplot.close(figure)
                found.append(path)
    return found


def _month(results: Results) -> Any:
    """The repository of each side, day by day."""
    kinds = [(kind, words) for kind, words in (("month", "384"), ("month_wide", "1536")) if growth(results, kind)]
    if not kinds:
        return None
    figure, axes = pyplot.subplots(1, len(kinds), figsize=(_WIDTH_INCHES, 4.6), layout="constrained", squeeze=False)
    for axis, (kind, words) in zip(axes[0], kinds, strict=True):
        found = growth(results, kind)
        ends = []
        for side, nights in found.items():
            stored = [night.facts["stored_bytes"] / 1e6 for night in nights]
            width = 3.0 if side == "snap" else 1.8
            axis.plot(
                range(1, len(stored) + 1),
                stored,
                color=_COLOURS[side],
                linewidth=width,
                zorder=3 if side == "snap" else 2,
            )
            ends.append((stored[-1], side))
        _label_ends(axis, ends, len(found["snap"]))
        axis.set(title=f"{results.rows[kind]:,} memories × {words}", xlabel="day", ylim=(0, None))
        axis.set_xlim(1, len(found["snap"]) * 1.34)
        axis.set_xticks([1, *range(5, len(found["snap"]) + 1, 5)])
    axes[0][0].set_ylabel("MB kept, all nights")
    figure.suptitle("30 nightly backups of a changing memory: what each keeps", x=0.01, ha="left", fontweight="bold")
    return figure


def _label_ends(axis: Axes, ends: list[tuple[float, str]], days: int) -> None:
    """Each line's name and last value at its end, moved apart where they would cover each other."""
    least = max(value for value, _ in ends) * 0.055
    at = float("-inf")
    for value, side in sorted(ends):
        at = max(value, at + least)
        weight = "bold" if side == "snap" else "normal"
        axis.text(
            days + 0.5,
            at,
            f"{side} {value:,.{0 if value >= 10 else 1}f}",
            color=_COLOURS[side],
            va="center",
            fontsize=10,
            fontweight=weight,
        )


def _nights(results: Results) -> Any:
    """What one night adds, by what happened before it."""
    found = price(results, "month")
    if not found:
        return None
    figure, axis = pyplot.subplots(figsize=(_WIDTH_INCHES, 6.4), layout="constrained")
    sides = list(next(iter(found.values())))
    height = 0.8 / len(sides)
    for place, side in enumerate(sides):
        rows = [row + (place - (len(sides) - 1) / 2) * height for row in range(len(found))]
        added = [max(one[side], 1) / 1e3 for one in found.values()]
        axis.barh(rows, added, height * 0.9, color=_COLOURS[side], label=side)
        if side == "snap":
            for row, number in zip(rows, added, strict=True):
                words = f"{number / 1e3:,.1f} MB" if number >= 1e3 else f"{number:,.1f} KB"
                axis.text(number * 1.08, row, words, va="center", fontsize=8.5, color=_COLOURS[side], fontweight="bold")
    axis.set_xscale("log")
    axis.set_yticks(range(len(found)), list(found))
    axis.invert_yaxis()
    axis.xaxis.set_major_formatter(FuncFormatter(lambda number, _: _kilobytes(number)))
    axis.set(xlabel="added by that night (logarithmic)")
    axis.grid(visible=False, axis="y")
    figure.suptitle(
        f"What one night adds, by what changed: {results.rows['month']:,} memories × 384",
        x=0.01,
        ha="left",
        fontweight="bold",
    )
    figure.legend(loc="outside lower center", ncols=len(sides))
    return figure


def _scale(results: Results) -> Any:
    """Seconds and memory over rows."""
    kinds = [
        (kind, words) for kind, words in (("narrow", "narrow rows"), ("half", "memories × 384")) if scale(results, kind)
    ]
    if not kinds:
        return None
    figure, axes = pyplot.subplots(
        1,
        len(kinds) + 1,
        figsize=(_WIDTH_INCHES, 4.2),
        layout="constrained",
        squeeze=False,
        width_ratios=[*[1] * len(kinds), 1],
    )
    for axis, (kind, words) in zip(axes[0], kinds, strict=False):
        for (operation, samples), colour in zip(scale(results, kind).items(), _LINES, strict=False):
            rows, seconds = [size for size, _ in samples], [sample.seconds for _, sample in samples]
            axis.plot(rows, seconds, "o-", color=colour, label=OPERATIONS[operation], linewidth=1.8, markersize=5)
        axis.set(xscale="log", yscale="log", title=words, xlabel="rows")
        _plain_numbers(axis)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
    axes[0][0].set_ylabel("seconds (logarithmic)")
    _memory(axes[0][-1], results, [kind for kind, _ in kinds])
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3)
    figure.suptitle("How cost grows with the table", x=0.01, ha="left", fontweight="bold")
    return figure


def _memory(axis: Axes, results: Results, kinds: list[str]) -> None:
    """The most memory of any operation, at each size."""
    for kind, style in zip(kinds, ("o-", "s--"), strict=False):
        peaks: dict[int, float] = {}
        for samples in scale(results, kind).values():
            for size, sample in samples:
                peaks[size] = max(peaks.get(size, 0), sample.peak_bytes / 1e6)
        axis.plot(list(peaks), list(peaks.values()), style, color="#333333", markersize=5)
        axis.annotate(
            {"narrow": "narrow", "half": "× 384"}[kind],
            (list(peaks)[-1], list(peaks.values())[-1]),
            xytext=(-4, 8),
            textcoords="offset points",
            ha="right",
        )
    axis.axhline(400, color="#D55E00", linewidth=1.2, linestyle=":")
    axis.text(0.02, 404, "must: 400 MB", color="#D55E00", fontsize=9, transform=axis.get_yaxis_transform(), va="bottom")
    axis.set(xscale="log", ylim=(0, 460), title="peak memory, MB", xlabel="rows")
    _plain_numbers(axis)


def _plain_numbers(axis: Axes) -> None:
    """10 k, 100 k, 1 M under a logarithmic axis."""
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda number, _: f"{number / 1e6:g} M" if number >= 1e6 else f"{number / 1e3:g} k")
    )
    axis.xaxis.set_minor_formatter(NullFormatter())


def _kilobytes(number: float) -> str:
    return f"{number / 1e3:g} MB" if number >= 1e3 else f"{number:g} KB"


if __name__ == "__main__":
    for path in draw(newest()):
        print(path)
