"""Progress of long work: a bar on stderr where a person watches, nothing anywhere else.

    with watched(is_shown) as progress:
        take(repository, requests, progress=progress)

The operations call it with what they are at; it never touches stdout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

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
    console = Console(stderr=True, no_color=is_plain, highlight=False)
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    known: dict[str, TaskID] = {}

    def progress(what: str, done: int, total: int | None, /) -> None:
        if what not in known:
            known[what] = bars.add_task(clean(what), total=total, told="")
        told = f"{done:,}" + (f" of {total:,}" if total else "")
        bars.update(known[what], completed=done, total=total, told=told)

    with bars:
        yield progress
