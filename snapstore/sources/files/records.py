r"""Files that are lists of records, taken apart, so that a difference is one of memories and not of bytes.

    records_of(b"memory.jsonl", data)      # {'entity ann': '{"entityType":…}', 'relation ann knows bob': …}
    changes_of(b"memory.jsonl", old, new)  # [RecordChange("added", "entity bob", None, '{…}')]

Known are lines of JSON (the knowledge graph of the MCP memory server among them) and Markdown with front matter.
Nothing is stored or restored so; whoever asks gets None for every other file, and for one that is not what its name
says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["RecordChange", "changes_of", "records_of"]

_LINES = (b".jsonl", b".ndjson", b"memory.json")
_MARKDOWN = (b".md", b".markdown", b".mdc")
_NAMES = ("id", "key", "name", "uuid")
_FIELD = re.compile(r"([A-Za-z_][\w .-]*?)\s*:(?:\s|$)")
_HEADING = re.compile(r"#{1,6}\s+(\S.*)")
_FENCE = re.compile(r"\s*(```|~~~)")


@dataclass(frozen=True, slots=True)
class RecordChange:
    """One record that was `added`, `removed` or `changed`: what it is called, and its text on either side."""

    what: str
    record: str
    before: str | None
    after: str | None


def changes_of(path: bytes, before: bytes | None, after: bytes | None) -> list[RecordChange] | None:
    """The records that differ, in the order of the later file, then what is gone; None where either has none.

    Empty where only the order of records or the way they are written differs.
    """
    if before is None or after is None:
        return None
    old, new = records_of(path, before), records_of(path, after)
    if old is None or new is None:
        return None
    changes = []
    for name, text in new.items():
        if name not in old:
            changes.append(RecordChange("added", name, None, text))
        elif old[name] != text:
            changes.append(RecordChange("changed", name, old[name], text))
    return changes + [RecordChange("removed", name, text, None) for name, text in old.items() if name not in new]


def records_of(path: bytes, content: bytes) -> dict[str, str] | None:
    """The records of a file by what they are called, in its order; None where it has none that are known."""
    name = path.rpartition(b"/")[2].lower()
    is_lines, is_markdown = name.endswith(_LINES), name.endswith(_MARKDOWN)
    if not is_lines and not is_markdown:
        return None
    try:
        text = content.decode("utf-8-sig")
        pairs = list(_of_lines(text) if is_lines else _of_markdown(text))
    except (ValueError, RecursionError):  # not UTF-8, not JSON, no front matter
        return None
    found: dict[str, str] = {}
    for label, own in pairs:
        number, name_here = 1, label
        while name_here in found:
            number += 1
            name_here = f"{label} ({number})"
        found[name_here] = own
    return found


def _of_lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.split("\n"):
        if line.strip():
            value = json.loads(line)
            written = json.dumps(value, ensure_ascii=False, sort_keys=True)
            yield _called(value, written), written


def _called(value: Any, written: str) -> str:
    """What a line is called: by its name, or by itself where it has none."""
    if not isinstance(value, dict):
        return written
    kind = value.get("type")
    if kind == "relation" and all(isinstance(value.get(one), str) for one in ("from", "to", "relationType")):
        return f"relation {value['from']} {value['relationType']} {value['to']}"
    for name in _NAMES:
        if isinstance(value.get(name), str | int):
            return f"{kind if isinstance(kind, str) else name} {value[name]}"
    return written


def _of_markdown(text: str) -> Iterator[tuple[str, str]]:
    """The fields of the front matter, then the sections of the text by their headings."""
    lines = text.splitlines()
    if not lines or lines[0].rstrip() != "---":
        raise ValueError("no front matter")
    end = next(at for at in range(1, len(lines) + 1) if at == len(lines) or lines[at].rstrip() in ("---", "..."))
    if end == len(lines):
        raise ValueError("the front matter has no end")
    yield from _grouped(lines[1:end], "front matter", lambda line, _: _field(line))
    yield from _grouped(lines[end + 1 :], "text", _section)


def _field(line: str) -> str | None:
    found = _FIELD.match(line)
    return f"field {found[1]}" if found else None


def _section(line: str, in_code: bool) -> str | None:
    found = None if in_code else _HEADING.match(line)
    return f"section {found[1].rstrip()}" if found else None


def _grouped(lines: list[str], first: str, begins: Callable[[str, bool], str | None]) -> Iterator[tuple[str, str]]:
    label, own, in_code = first, list[str](), False
    for line in lines:
        found = begins(line, in_code)
        in_code ^= bool(_FENCE.match(line))
        if found is not None:
            if any(one.strip() for one in own):
                yield label, "\n".join(own).strip("\n")
            label, own = found, []
        own.append(line)
    if any(one.strip() for one in own):
        yield label, "\n".join(own).strip("\n")
