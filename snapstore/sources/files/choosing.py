"""Which files are meant: patterns in the syntax of .gitignore, and what is left out unless asked for. Home of pathspec.

    choice = Choice(only=("memory/**",), ignore=("*.bak", "!important.log"))
    choice.leaves_out(b"memory/a.tmp", is_folder=False)         # '*.tmp'

It opens nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from pathspec import GitIgnoreSpec

from snapstore.errors import Invalid

__all__ = ["Choice", "meets"]

_VOLATILE = ("*.tmp", "*.log", "*.lock", ".lock", "*.pid", "*.sw[op]", ".DS_Store", "watch-status.json")
"""What comes and goes by itself. A snapshot's selection does not name these: a new list needs a new place for it."""

STAGING = ".snapstore-restore-"
"""How the folder begins in which a restore prepares files; never a row."""


class Choice:
    """What is left out of a folder, and by which pattern.

    `ignore` come behind `_VOLATILE`, so `!*.log` takes those in again; as in Git nothing beneath a folder that is left
    out can be taken in. With `only`, just what one of these means, or lies beneath a folder that one means.
    """

    def __init__(self, *, only: Sequence[str] = (), ignore: Sequence[str] = ()) -> None:
        self._only = _spec_of(only) if only else None
        self._lines = (*_VOLATILE, *ignore)
        self._ignore = _spec_of(self._lines)

    def leaves_out(self, path: bytes, *, is_folder: bool) -> str:
        """The pattern that leaves this path out; empty if none does."""
        found = self._ignore.check_file(_text(path, is_folder=is_folder))
        return self._lines[found.index] if found.include and found.index is not None else ""

    def takes(self, path: bytes, *, is_folder: bool) -> bool:
        """Whether `only` means this path. A folder that it does not mean may hold something that it does."""
        return self._only is None or bool(self._only.check_file(_text(path, is_folder=is_folder)).include)

    @property
    def takes_all(self) -> bool:
        """Whether there is no `only`."""
        return self._only is None


def _spec_of(patterns: Sequence[str]) -> GitIgnoreSpec:
    """The patterns, ready. Raises `Invalid` naming one that is none."""
    for pattern in patterns:
        try:
            [*found] = GitIgnoreSpec.from_lines([pattern]).patterns
        except ValueError as error:
            raise _invalid(pattern) from error
        if [one.include for one in found] not in ([True], [False]):
            raise _invalid(pattern)
    return GitIgnoreSpec.from_lines(patterns)


def meets(condition: str) -> Callable[[bytes, bool], bool]:
    """Whether a path (and whether it is a folder) meets a condition: patterns, one a line."""
    lines = [line for line in condition.splitlines() if line.strip()]
    if not lines:
        raise _invalid(condition)
    spec = _spec_of(lines)
    return lambda path, is_folder: bool(spec.check_file(_text(path, is_folder=is_folder)).include)


def _text(path: bytes, *, is_folder: bool) -> str:
    text = os.fsdecode(path)
    return text + "/" if is_folder else text


def _invalid(pattern: str) -> Invalid:
    return Invalid(
        f"{pattern!r} is no pattern for files", hint="Write it as in .gitignore: `*.bak`, `notes/**`, `!keep.log`."
    )
