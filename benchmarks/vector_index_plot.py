"""Draws docs/plots/vector_index.png from the newest samples: `python -m benchmarks.vector_index_plot`.

    draw(newest(SAMPLES), PLOT)

One panel a method and size: what keeping the index costs, and what building it anew does, over the share of rows put
back. It needs matplotlib (the extra `bench`).
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.results import Results, newest
from benchmarks.vector_index import DIMENSIONS, SAMPLES, SIDES, crossing, curve

__all__ = ["PLOT", "draw"]

PLOT = Path(__file__).parent.parent / "docs" / "plots" / "vector_index.png"

LINES = {
    "keep": ("o-", "#0072B2", "index kept"),
    "fits": ("s-", "#E69F00", "built anew, in memory"),
    "spills": ("^-", "#D55E00", "built anew, memory for half"),
}


def draw(results: Results, path: Path) -> None:
    """The curves as a picture, of processors' seconds: they move least on a machine that others use."""
    sizes = sorted(results.rows.values())
    figure = Figure(figsize=(4.4 * len(SIDES), 2.9 * len(sizes)), layout="constrained")
    panels = figure.subplots(len(sizes), len(SIDES), squeeze=False)
    for line, count in zip(panels, sizes, strict=True):
        for panel, method in zip(line, SIDES, strict=True):
            points = curve(results, method, count, of="cpu_seconds")
            for side in SIDES[method]:
                mark, colour, label = LINES[side]
                shares, seconds = [100 * share for share, _ in points], [own[side] for _, own in points]
                panel.plot(shares, seconds, mark, color=colour, label=label)
                meet = None if side == "keep" else crossing(points, side)
                if meet is not None:
                    at = (100 * meet, 0)
                    panel.axvline(100 * meet, color=colour, linestyle=":", linewidth=1)
                    panel.annotate(f"{meet:.0%}", at, xytext=(3, 4), textcoords="offset points", color=colour)
            panel.set_title(f"{method}, {count:,} × {DIMENSIONS}", fontsize=10)
            panel.set_xlim(left=0)
            panel.set_ylim(bottom=0)
            panel.set_xlabel("rows put back (% of the table)", fontsize=9)
            panel.set_ylabel("processors' seconds", fontsize=9)
            panel.grid(color="#e6e6e6")
            panel.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(LINES), frameon=False, fontsize=9)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110, facecolor="white", metadata={"Description": results.date, "Software": None})


if __name__ == "__main__":
    draw(newest(SAMPLES), PLOT)
