"""What a dry run says of files that are to be restored to another folder than they were taken from.

shape["mentions"] = mentions_json(found)
for line in mention_lines(found, old): app.out(line)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snap_cli.render import clean, plural
from snapstore.operations.elsewhere import Mention, mentions
from snapstore.operations.state import State
from snapstore.repository import SnapshotSource
from snapstore.sources import Source
from snapstore.sources.files.place import place_of

__all__ = ["found_elsewhere", "mention_lines", "mentions_json"]

_SHOWN = 8


def found_elsewhere(held: SnapshotSource, live: Source, state: State) -> list[Mention]:
    """The files that name the folder they were taken from, where they are to go to another."""
    if held.kind != "file" or live.url == held.url or held.url.startswith("export:"):
        return []  # an export does not say which folder it was
    return list(mentions(state, bytes(place_of(held.url))))


def mention_lines(found: Sequence[Mention], held: SnapshotSource) -> list[str]:
    """Lines for people; none for nothing."""
    if not found:
        return []
    told = "names" if len(found) == 1 else "name"
    lines = [f"  {plural(len(found), 'file')} {told} the folder they were taken from ({clean(held.url)}), unchanged:"]
    for one in found[:_SHOWN]:
        path = clean(one.path.decode("utf-8", "backslashreplace"))
        lines.append(f"    {path}:{one.line}: {clean(one.text.strip())[:100]}")
    if len(found) > _SHOWN:
        lines.append(f"    and {len(found) - _SHOWN:,} more (--json has all)")
    return lines


def mentions_json(found: Sequence[Mention]) -> list[dict[str, Any]]:
    """All of them."""
    return [
        {"path": one.path.decode("utf-8", "backslashreplace"), "count": one.count, "line": one.line, "text": one.text}
        for one in found
    ]
