"""Rows and cells for people and for JSON: keys in words, values old and new, an embedding's change as a distance.

    change_text(column, before, after)        # ['heat: 0.5 → 0.485']

Vectors are shortened for people and whole in JSON.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from snap_cli.render import clean, paint
from snapstore.rows import Column
from snapstore.sources.display import display, shorten
from snapstore.sources.files.records import RecordChange, changes_of

__all__ = ["change_json", "change_text", "cosine_distance", "key_text"]

_SHORT = 40
_RECORD = 100
_CONTEXT_WORDS = 4
_MOST_WORDS = 4000
_STRETCH = 24
_ELEMENTS = {4: "<f4", 2: "<f2"}


def key_text(key: dict[str, Any]) -> str:
    """The key as it can be typed after `TABLE:`; of a row without one, that."""
    words = [_word(value) for value in key.values()]
    if not words:
        return "(no key)"
    if len(words) == 1:
        return words[0]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(words)
    return line.getvalue()


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "\\x" + str(value.get("hex", ""))
    return str(value)


def change_json(
    column: Column, before: bytes | None, after: bytes | None, key: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Both values, the cosine distance of two vectors of one dimension, and the records that differ between two files
    of records; `key` is the row's.
    """
    shape: dict[str, Any] = {
        "before": display(column.type, before, stride=column.stride),
        "after": display(column.type, after, stride=column.stride),
    }
    if column.stride in _ELEMENTS:
        shape["cosine_distance"] = cosine_distance(column, before, after)
    records = _records(column, before, after, key)
    if records is not None:
        shape["records"] = [
            {"change": one.what, "record": one.record, "before": one.before, "after": one.after} for one in records
        ]
    return shape


def change_text(
    column: Column, before: bytes | None, after: bytes | None, key: Mapping[str, Any] | None = None
) -> list[str]:
    """The change of one cell in one line or, for long texts and files of records, several; `key` is the row's."""
    name = clean(column.name)
    records = _records(column, before, after, key)
    if records is not None:
        lines = [line for one in records for line in _record_change(one)] or ["the same records, written otherwise"]
        return [f"{name}:", *(f"  {line}" for line in lines)]
    old, new = (display(column.type, cell, stride=column.stride) for cell in (before, after))
    if _is_vector(before, column) and _is_vector(after, column):
        return [f"{name}: {_vector_change(column, before, after)}"]
    if isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) > _SHORT:
        return [f"{name}:", *(f"  {line}" for line in _text_change(old, new))]
    return [f"{name}: {shorten(old)} → {shorten(new)}"]


def _records(
    column: Column, before: bytes | None, after: bytes | None, key: Mapping[str, Any] | None
) -> list[RecordChange] | None:
    """What differs between two files of records; None for all other cells."""
    path = None if key is None or column.type != "file.content" else key.get("path")
    return changes_of(path.encode(), before, after) if isinstance(path, str) else None


def _record_change(change: RecordChange) -> list[str]:
    if change.what == "added":
        return [paint(f"+ {change.record}", "green") + f": {shorten(change.after, width=_RECORD)}"]
    if change.what == "removed":
        return [paint(f"- {change.record}", "red") + f": {shorten(change.before, width=_RECORD)}"]
    lines = _text_change(change.before or "", change.after or "")
    return [paint(f"~ {change.record}", "yellow"), *(f"    {line}" for line in lines)]


def cosine_distance(column: Column, before: bytes | None, after: bytes | None) -> float | None:
    """1 − cosine of the angle between two vectors; None where there is none (NULL, other dimensions, length 0)."""
    if before is None or after is None or len(before) != len(after):
        return None
    if not _is_vector(before, column) or not _is_vector(after, column):
        return None
    old, new = _vector(column, before), _vector(column, after)
    lengths = float(np.linalg.norm(old) * np.linalg.norm(new))
    if not lengths or not np.isfinite(lengths):
        return None
    return max(0.0, 1.0 - float(old @ new) / lengths)


def _is_vector(cell: bytes | None, column: Column) -> TypeGuard[bytes]:
    """Whether the cell is whole elements: where any kind of value may stand, others are not (format.md §8)."""
    return column.stride in _ELEMENTS and cell is not None and len(cell) % column.stride == 0


def _vector(column: Column, cell: bytes) -> NDArray[np.float64]:
    return np.frombuffer(cell, _ELEMENTS[column.stride]).astype(np.float64)


def _vector_change(column: Column, before: bytes, after: bytes) -> str:
    old, new = len(before) // column.stride, len(after) // column.stride
    if old != new:
        return f"{old:,} → {new:,} dimensions"
    distance = cosine_distance(column, before, after)
    if distance is None:
        return f"cosine distance undefined (a vector without a direction), {new:,} dimensions"
    return f"cosine distance {distance:.3g}, {new:,} dimensions"


def _text_change(old: str, new: str) -> list[str]:
    """Lines removed and added; within one line the words, as `[-old-]{+new+}` among their neighbours."""
    if "\n" in old or "\n" in new:
        found = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1)
        lines = [line for line in found if not line.startswith(("---", "+++", "@@"))]
        styles = {"-": "red", "+": "green"}
        return [paint(line, styles[line[0]]) if line[:1] in styles else clean(line) for line in lines] or [
            "only line ends differ"
        ]
    return ["".join(_word_changes(re.findall(r"\S+|\s+", old), re.findall(r"\S+|\s+", new)))]


def _word_changes(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    if max(len(old), len(new)) > _MOST_WORDS:
        yield f"{len(old):,} → {len(new):,} words, too many to show"
        return
    steps = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for number, (what, a, b, c, d) in enumerate(steps):
        if what == "equal":
            yield clean(_around(old[a:b], is_first=not number, is_last=number + 1 == len(steps)))
            continue
        if b > a:
            yield paint("[-" + _middle_cut(old[a:b]) + "-]", "red")
        if d > c:
            yield paint("{+" + _middle_cut(new[c:d]) + "+}", "green")


def _middle_cut(words: Sequence[str]) -> str:
    """All of a short stretch; of a long one how it begins and ends."""
    if len(words) <= 2 * _STRETCH:
        return "".join(words)
    return "".join(words[:_STRETCH]) + "…" + "".join(words[-_STRETCH:])


def _around(words: Sequence[str], *, is_first: bool, is_last: bool) -> str:
    keep = 2 * _CONTEXT_WORDS
    head = [] if is_first else words[:keep]
    tail = [] if is_last else words[-keep:]
    if len(head) + len(tail) >= len(words):
        return "".join(words)
    return "".join(head) + "…" + "".join(tail)
