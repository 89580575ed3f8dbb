"""One table through time: the snapshots that know of it, in order, and what each of them knows.

    for chain in chains(repository.snapshots()):
        chain.source, chain.name
        for step in chain.steps: ...

A snapshot that was not asked for the table, that holds only its shape, or that chose its rows by a condition does not
know what was not there then; to take its silence for a deletion would be a lie. It reads manifests and no rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from snapstore.operations.selected import files_of, selection_of
from snapstore.repository import Snapshot, SnapshotSource, SnapshotTable
from snapstore.sources import Selection
from snapstore.sources.patterns import fits

__all__ = ["Chain", "Step", "Unknown", "between", "chains"]


@dataclass(frozen=True, slots=True)
class Step:
    """One snapshot that knows of a table; `table` is None where there was no such table then.

    Where `is_whole` is False the rows were chosen (by a condition, or files by other patterns than in other snapshots),
    or damage hid some: a row that is not there may have been there.
    """

    snapshot: Snapshot
    table: SnapshotTable | None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Unknown:
    """A snapshot of the source that says nothing of a table's rows, and why."""

    snapshot: Snapshot
    why: str


@dataclass(frozen=True, slots=True)
class Chain:
    """A table of one source in all snapshots that know of it, oldest first.

    `elsewhere` is the URL of another database, into which something of this source was restored: the safety snapshots
    of such a restore are a chain of their own. It is empty for the source itself.
    """

    source: str
    kind: str
    name: str
    elsewhere: str
    steps: tuple[Step, ...]
    unknown: tuple[Unknown, ...]


def between(
    snapshots: Sequence[Snapshot], since: datetime | None = None, until: datetime | None = None
) -> list[Snapshot]:
    """Those taken at `since` or later, and before `until`."""
    return [one for one in snapshots if (since is None or one.time >= since) and (until is None or one.time < until)]


def chains(snapshots: Sequence[Snapshot]) -> list[Chain]:
    """Every table that these snapshots (oldest first) hold rows of, each with its snapshots."""
    sources: dict[tuple[str, str, str], list[tuple[Snapshot, SnapshotSource]]] = {}
    urls: dict[tuple[str, str], str] = {}
    for snapshot in snapshots:
        for source in snapshot.sources:
            own = (source.name, source.kind)
            if snapshot.safety is None:
                urls[own] = source.url
            elsewhere = "" if source.url == urls.setdefault(own, source.url) else source.url
            sources.setdefault((*own, elsewhere), []).append((snapshot, source))
    found = []
    for (name, kind, elsewhere), states in sources.items():
        tables = dict.fromkeys(table.name for _, source in states for table in source.tables)
        for table in tables:
            steps, unknown = _steps(states, table)
            found.append(Chain(name, kind, table, elsewhere, tuple(steps), tuple(unknown)))
    return found


def _steps(states: Sequence[tuple[Snapshot, SnapshotSource]], name: str) -> tuple[list[Step], list[Unknown]]:
    steps: list[Step] = []
    unknown: list[Unknown] = []
    choices = [files_of(source.selection) for _, source in states]
    is_one_choice = len({(one.only, one.ignore) for one in choices}) == 1
    for (snapshot, source), choice in zip(states, choices, strict=True):
        is_chosen = not is_one_choice and bool(choice.only or choice.ignore)
        entry = next((table for table in source.tables if table.name == name), None)
        if entry is not None and entry.root is not None:
            steps.append(Step(snapshot, entry, entry.where is None and not source.hidden(name) and not is_chosen))
        elif entry is not None:
            unknown.append(Unknown(snapshot, "it holds only the shape of the table"))
        elif snapshot.safety is not None:
            continue  # it holds the tables that a restore was about to change, and says nothing of others
        elif any(name in text for text in source.missing):
            unknown.append(Unknown(snapshot, "the table could not be held"))
        elif _means(selection_of(source.selection), name):
            steps.append(Step(snapshot, None))
        else:
            unknown.append(Unknown(snapshot, "it was not asked for the table"))
    return steps, unknown


def _means(selection: Selection, table: str) -> bool:
    chosen = not selection.tables or any(fits(pattern, table) for pattern in selection.tables)
    return chosen and not any(fits(pattern, table) for pattern in selection.exclude)
