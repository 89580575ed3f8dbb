"""The growth of a repository as a picture. Its library is an extra, so it is loaded only when a picture is wanted.

draw([(snapshot.time, stored_bytes), …], Path("growth.png"))
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from snapstore.errors import Unavailable

__all__ = ["draw"]


def draw(growth: Sequence[tuple[datetime, int]], path: Path) -> None:
    """Write a PNG of stored bytes over time. Raises `Unavailable` where it cannot be written."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    times = np.array([when.astimezone(UTC).replace(tzinfo=None) for when, _ in growth], "datetime64[us]")
    axes.step(times, [size / 1e6 for _, size in growth], where="post", color="#2a6fbb")
    axes.set_ylabel("stored, MB")
    axes.set_xlabel("UTC")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.autofmt_xdate()
    try:
        figure.savefig(path, format="png", dpi=150)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}", hint="Choose another place.") from error
