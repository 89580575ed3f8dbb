"""The rows that a restore left out: said on the screen, and kept in a file that `--retry` takes.

    with FailedFile.opened(app, path, snapshot, ask, ["snap", "restore", "latest"]) as failed:
        restored = restore(...)
        failed.add("agents", restored)

The file is made before anything is changed, so a place that cannot be written is found out in time; where no row is
left out it goes again. Nothing is restored here.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from snap_cli.cells import key_text
from snap_cli.context import App
from snap_cli.render import clean, paint, plural
from snapstore.errors import Exists, Invalid, Unavailable
from snapstore.operations.ask import Ask, OnError
from snapstore.operations.failed import refused_json, write_head, write_rows
from snapstore.operations.restore import Restored
from snapstore.operations.sparing import Refused
from snapstore.repository import Snapshot

__all__ = ["FailedFile", "check_failed", "on_error_options"]

Function = TypeVar("Function", bound=Callable[..., Any])

_SHOWN = 20
_LONGEST_REASON = 200


def on_error_options(function: Function) -> Function:
    """What becomes of rows that the database refuses, for commands that put rows back."""
    for decorate in (
        click.option(
            "--failed",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Where to list them [failed-SNAP-TIME.jsonl].",
        ),
        click.option(
            "--on-error",
            type=click.Choice([one.value for one in OnError]),
            default=OnError.STOP.value,
            help="A row the database refuses: change nothing (stop, the default), or restore all but such rows and "
            "list them (skip; exit 3).",
        ),
    ):
        function = decorate(function)
    return function


def check_failed(on_error: str, failed: Path | None) -> None:
    """Raise `Invalid` for a file of rows where none would be left out."""
    if failed is not None and on_error == OnError.STOP:
        raise Invalid("--failed is where rows are listed that --on-error skip leaves out", hint="Add --on-error skip.")


class FailedFile:
    """The file and what was added to it, by source; without a path for a restore that stops at the first error."""

    def __init__(self, path: Path | None, lines: TextIO | None) -> None:
        self.path = path
        self.rows: list[tuple[str, Refused]] = []
        self._lines = lines

    @classmethod
    @contextmanager
    def opened(
        cls, app: App, path: Path | None, snapshot: Snapshot, ask: Ask, again: Sequence[str], *, dry_run: bool
    ) -> Iterator[FailedFile]:
        """The file, under this path or a name in this folder that tells what it is of. Raises `Exists` or `Unavailable`
        before anything is restored. It stays if a row was added, whatever comes after, and these rows are told, with
        the command that tries them `again`.
        """
        if ask.on_error is OnError.STOP or dry_run:
            yield cls(None, None)
            return
        name = f"failed-{snapshot.id[:8]}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        with _made([path] if path else [Path(f"{name}{more}.jsonl") for more in ("", "-2", "-3", "-4")]) as (
            place,
            lines,
        ):
            found = cls(place, lines)
            try:
                write_head(lines, snapshot, ask.mode)
                yield found
            finally:
                found._tell(app, place, again)
                if not found.rows:
                    lines.close()  # what is open stays, on Windows
                    with suppress(OSError):
                        place.unlink()

    def add(self, source: str, restored: Restored) -> None:
        """What was left out of one source; on the disk when this returns."""
        if self._lines is None or not restored.refused:
            return
        self.rows += [(source, one) for one in restored.refused]
        try:
            write_rows(self._lines, source, restored.refused)
            self._lines.flush()
            os.fsync(self._lines.fileno())
        except OSError as error:
            raise Unavailable(
                f"{source} was restored but for {plural(len(restored.refused), 'row')}, and the list of these cannot "
                f"be written to {self.path}: {error.strerror}",
                hint="The same restore again, with --failed where there is room, lists them.",
            ) from error

    def _tell(self, app: App, place: Path, again: Sequence[str]) -> None:
        """The rows that were left out, as many as fit on a screen, and the command that tries them again."""
        number = len(self.rows)
        if not number:
            return
        if not app.json:
            several = len({source for source, _ in self.rows}) > 1
            app.out(paint(f"{plural(number, 'row')} left out, refused by the database:", "red"))
            for source, one in self.rows[:_SHOWN]:
                named = f"{source}: {one.table}" if several else one.table
                app.out(f"  {clean(named)}:{clean(key_text(dict(one.key)))}  {_shortened(clean(one.reason))}")
            if number > _SHOWN:
                app.out(f"  … and {plural(number - _SHOWN, 'row')} more")
        app.warn(
            f"this restore is not whole: {plural(number, 'row')} of the snapshot left out and listed in "
            f"{clean(str(place))}"
        )
        app.say(f"when the cause is mended: {clean(shlex.join([*again, '--retry', str(place)]))}")

    def document(self) -> dict[str, Any]:
        """For programs: every row, and where the file is."""
        if self.path is None:
            return {}
        refused = [refused_json(source, one) for source, one in self.rows]
        return {"refused": refused, "failed": str(self.path) if refused else None}


@contextmanager
def _made(places: Sequence[Path]) -> Iterator[tuple[Path, TextIO]]:
    """The first of these that is not there yet."""
    for place in places:
        try:
            # It has values of rows in it, as the server tells them.
            descriptor = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0), 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            raise Unavailable(
                f"{place} cannot be made: {error.strerror}",
                hint="Name a file that can be written with --failed; nothing was changed.",
            ) from error
        with os.fdopen(descriptor, "w", encoding="utf-8") as lines:
            yield place, lines
        return
    raise Exists(f"{places[-1]} is there already", hint="Name another file with --failed; nothing was changed.")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"
