"""A note of when a repository was verified last, in the user's folder for such things; `snap doctor` reads it.

    notes = VerifyNotes(app.states, repository)
    notes.write(Verification("structure", moment, damaged=0), is_whole=True)
    notes.read().last

It is of this user on this machine: who verifies elsewhere is not seen. The repository knows nothing of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from snap_cli.noting import write_note
from snapstore.backends.places import is_url
from snapstore.digest import digest
from snapstore.repository import Repository

__all__ = ["Noted", "Verification", "VerifyNotes"]

_STRUCTURE, _EVERY_BYTE, _RESTORE_TEST = "structure", "every byte", "restore test"


@dataclass(frozen=True, slots=True)
class Verification:
    """One run of `snap verify`: how deep it went, when it ended, and how many objects (or tables) were bad."""

    depth: str
    ended: datetime
    damaged: int


@dataclass(frozen=True, slots=True)
class Noted:
    """The last run over the whole repository, the last restore test, and the last damage that no later run denied."""

    last: Verification | None = None
    restore_test: Verification | None = None
    damage: Verification | None = None


class VerifyNotes:
    """The notes of one repository in one place: a copy of its files elsewhere has its own."""

    def __init__(self, states: Path, repository: Repository) -> None:
        where = repository.location
        place = where if is_url(where) else str(Path(where).expanduser().resolve())
        name = digest(f"{repository.settings.id.hex()}\n{place}".encode()).hex()[:8]
        self._path = states / f"repository-{name}" / "verified.json"

    def read(self) -> Noted:
        """What is noted; nothing where there is no note, or it cannot be read."""
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            return Noted(**{name: _parsed(own) for name, own in document.items()})
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return Noted()

    def write(self, done: Verification, *, is_whole: bool) -> None:
        """Note a run. Raises `Unavailable`."""
        noted = self.read()
        if done.depth == _RESTORE_TEST:
            noted = replace(noted, restore_test=done)
        elif is_whole:
            noted = replace(noted, last=done)
        if done.damaged and done.depth != _RESTORE_TEST:
            noted = replace(noted, damage=done)
        elif is_whole and noted.damage is not None and _denies(done.depth, noted.damage.depth):
            noted = replace(noted, damage=None)
        shape = {name: own and {**own, "ended": own["ended"].isoformat()} for name, own in asdict(noted).items()}
        write_note(self._path, shape)


def _denies(depth: str, damaged: str) -> bool:
    """Whether a run of this depth that finds nothing looked at what one of the other found damaged."""
    return depth == _EVERY_BYTE or depth == damaged == _STRUCTURE


def _parsed(own: dict[str, object] | None) -> Verification | None:
    if own is None:
        return None
    ended = datetime.fromisoformat(str(own["ended"]))
    return Verification(str(own["depth"]), ended, int(str(own["damaged"])))
