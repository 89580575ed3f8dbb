"""What still speaks of the place that files were taken from, when they are restored to another.

    for mention in mentions(of_snapshot(repository, snapshot), b"/home/me/memory"):
        mention.path, mention.line, mention.text

Memory files hold absolute paths (projects, sources, indexes), and these go on meaning the old place. Nothing is
changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snapstore.operations.state import State, StateTable
from snapstore.tree.values import resolve

__all__ = ["Mention", "mentions"]

_LONGEST = 160


@dataclass(frozen=True, slots=True)
class Mention:
    """A file that has the old place in it: how often, and the first line that has it."""

    path: bytes
    count: int
    line: int
    text: str


def mentions(state: State, place: bytes) -> Iterator[Mention]:
    """Every file and link of these tables that names the place or something in it. Reads all contents."""
    # What goes on with a letter is the name of a neighbour.
    wanted = re.compile(re.escape(place.rstrip(b"/")) + rb"(?![\w.-]*[\w-])")
    for table in state.tables:
        for path, content in _contents(table):
            found = list(wanted.finditer(content))
            if found:
                start = content.rfind(b"\n", 0, found[0].start()) + 1
                end = content.find(b"\n", found[0].start())
                text = content[start : len(content) if end < 0 else end][:_LONGEST]
                line = content.count(b"\n", 0, found[0].start()) + 1
                yield Mention(path, len(found), line, text.decode("utf-8", "backslashreplace"))


def _contents(table: StateTable) -> Iterator[tuple[bytes, bytes]]:
    """What is in each file, and what each link says; one value at a time where it is large."""
    tree = table.tree
    if tree is None:
        return
    columns = [at for at, one in enumerate(tree.table.columns) if one.type in ("file.content", "file.target")]
    for spans in tree.leaves(columns):
        keys = tree.keys(spans).to_list()
        for at in columns:
            cells = tree.cells(at + 1, spans)
            present = np.arange(len(cells)) if cells.valid is None else np.flatnonzero(cells.valid)
            for row in present.tolist():
                yield keys[row] or b"", resolve(cells.slice(row, row + 1), table.fetch)[0] or b""
