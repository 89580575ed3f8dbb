"""Progress of long work: a bar on stderr where a person watches, nothing anywhere else.

    with watched(is_shown) as progress:
        take(repository, requests, progress=progress)

The operations call it with what they are at; it never touches stdout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from snap_cli.render import clean
from snapstore.operations.capture import Progress as Watcher
from snapstore.operations.capture import silent

__all__ = ["watched"]


@contextmanager
def watched(is_shown: bool, *, is_plain: bool = False) -> Iterator[Watcher]:
    """What operations may tell how far they are. `is_plain` leaves colours out."""
    if not is_shown:
        yield silent
        return
    from rich.console import Console  # only where somebody watches: see test_layers.py
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, no_color=is_plain, highlight=False)
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    # One line, of what is being done now: there may be thousands of tables.
    line = bars.add_task("", total=None, told="")

    def progress(what: str, done: int, total: int | None, /) -> None:
        told = f"{done:,}" + (f" of {total:,}" if total else "")
        bars.update(line, description=clean(what), completed=done, total=total, told=told)

    with bars:
        yield progress
