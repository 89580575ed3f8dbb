"""The rows that a restore left out, as a file that a person can read and another restore can go by.

    with open(path, "x") as lines:
        write_head(lines, snapshot, Mode.UPDATE)
        write_rows(lines, "agents", restored.refused)
    failed = read_failed(path, repository, snapshot)
    failed.mode, failed.keys["agents"]["public.memories"]

One JSON object a line: the first says what the file is of, each other one is a row, which may be taken out by hand.
Rows are found again by their `key_bytes`; all else is for people. The file has values of the rows in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from snapstore.errors import Invalid, NotFound, Unavailable, Unsupported
from snapstore.operations.plan import Mode
from snapstore.operations.sparing import Refused
from snapstore.operations.state import StateTable, of_snapshot
from snapstore.repository import Repository, Snapshot

__all__ = ["Failed", "read_failed", "refused_json", "write_head", "write_rows"]

_FORMAT = "snapstore failed rows"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Failed:
    """The mode of the restore, and the keys of the rows it left out, ascending, by source and table."""

    mode: Mode
    keys: Mapping[str, Mapping[str, tuple[bytes, ...]]]


def refused_json(source: str, refused: Refused) -> dict[str, Any]:
    """The row as a document (its fields may be added to, never changed)."""
    return {
        "source": source,
        "table": refused.table,
        "key": dict(refused.key),
        "key_bytes": refused.key_bytes.hex(),
        "doing": refused.doing,
        "reason": refused.reason,
    }


def write_head(lines: TextIO, snapshot: Snapshot, mode: Mode) -> None:
    """The first line of such a file."""
    head = {
        "format": _FORMAT,
        "version": _VERSION,
        "snapshot": snapshot.id,
        "mode": mode.value,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    lines.write(json.dumps(head) + "\n")


def write_rows(lines: TextIO, source: str, refused: Iterable[Refused]) -> None:
    """A line for each row."""
    for one in refused:
        lines.write(json.dumps(refused_json(source, one)) + "\n")


def read_failed(path: Path, repository: Repository, snapshot: Snapshot) -> Failed:
    """What such a file says. Raises `NotFound`, or `Invalid` for another file, one of another snapshot, and a line that
    names no row of it: what cannot be found again is not passed over.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _other(path, 1) from error
    documents = [(at, _parsed(path, at, line)) for at, line in enumerate(lines, 1) if line.strip()]
    if not documents or documents[0][1].get("format") != _FORMAT:
        raise _other(path, 1)
    head = documents[0][1]
    if head.get("version") != _VERSION:
        raise Unsupported(f"{path} is of version {head.get('version')} of its format; this program reads {_VERSION}")
    if head.get("snapshot") != snapshot.id:
        of = str(head.get("snapshot"))[:8]
        raise Invalid(f"{path} has rows of the snapshot {of}, not of {snapshot.id[:8]}", hint=f"Restore {of}.")
    try:
        mode = Mode(str(head.get("mode")))
    except ValueError as error:
        raise _other(path, documents[0][0]) from error
    return Failed(mode, _keys(path, documents[1:], repository, snapshot))


def _keys(
    path: Path, documents: Iterable[tuple[int, dict[str, Any]]], repository: Repository, snapshot: Snapshot
) -> dict[str, dict[str, tuple[bytes, ...]]]:
    tables = {(table.source, table.name): table for table in of_snapshot(repository, snapshot).tables}
    lines: dict[tuple[str, str], dict[bytes, int]] = {}
    for at, one in documents:
        place = str(one.get("source")), str(one.get("table"))
        try:
            key = bytes.fromhex(str(one["key_bytes"]))
        except (KeyError, ValueError) as error:
            raise _other(path, at) from error
        if place not in tables:
            raise Invalid(f"{path}, line {at}: there is no table {place[1]} of {place[0]} in {snapshot.id[:8]}")
        lines.setdefault(place, {})[key] = at
    found: dict[str, dict[str, tuple[bytes, ...]]] = {}
    for place, own in lines.items():
        absent = set(own) - _there(tables[place], sorted(own))
        if absent:
            at = min(own[key] for key in absent)
            raise Invalid(f"{path}, line {at}: there is no such row of {place[1]} in {snapshot.id[:8]}")
        found.setdefault(place[0], {})[place[1]] = tuple(sorted(own))
    return found


def _there(table: StateTable, keys: list[bytes]) -> set[bytes | None]:
    return set() if table.tree is None else set(table.tree.lookup(keys, ()).keys.to_list())


def _parsed(path: Path, at: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise _other(path, at) from error
    if not isinstance(found, dict):
        raise _other(path, at)
    return found


def _other(path: Path, at: int) -> Invalid:
    return Invalid(
        f"{path}, line {at}: this is no file of rows that a restore left out",
        hint="`snap restore … --on-error skip` writes one.",
    )
