"""What the trees of a series have that the ones before them have not, by name alone: one tree of each, and no keys.

    found = fresh(trees[0], trees[1:], 2)       # of the third tree: a column's
    found.leaves                                # chunks and constants, with their rows
    found.nodes                                 # above them, each with its children, lower ones first

A cell that is new stands in a chunk that is new, so who looks for cells need not know where chunks stand until one has
what was looked for. All trees are read together, a round a level. It does not know what is in a chunk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from snapstore.tree import reference
from snapstore.tree.node import Node
from snapstore.tree.reader import TableTree
from snapstore.tree.reference import Ref

__all__ = ["Fresh", "fresh"]


@dataclass(frozen=True, slots=True)
class Fresh:
    """References that some tree has and the one before it has not, each once; leaves with how many rows they have.

    A constant is a leaf wherever it stands. A node's children need not be fresh.
    """

    leaves: Mapping[Ref, int]
    nodes: Mapping[Ref, Sequence[Ref]]


def fresh(before: TableTree | None, trees: Sequence[TableTree], number: int) -> Fresh:
    """What is new in the tree with this number (0 is the key, column i is i + 1) of each of `trees`, oldest first.

    They have one shape (`snapstore.tree.series.one_shape`), as has the one `before` them, if there is one. Raises
    `NotFound` or `Corrupt`. What is held at once is the references that differ: some ten bytes for each row of the
    chunks that do.
    """
    chain = [before, *trees]
    tops = [next(iter(tree.spans()), None) if tree is not None else None for tree in chain]
    come: list[dict[Ref, int]] = [{} for _ in trees]
    gone: list[dict[Ref, int]] = [{} for _ in trees]
    leaves: dict[Ref, int] = {}
    nodes: list[dict[Ref, Sequence[Ref]]] = []
    for level in range(max((top.level for top in tops if top is not None), default=0), -1, -1):
        for at, (old, new) in enumerate(pairwise(tops)):
            for side, top in (gone[at], old), (come[at], new):
                ref = top.refs[number] if top is not None and top.level == level else None
                if top is not None and ref is not None:
                    side[ref] = top.count
            for ref in come[at].keys() & gone[at].keys():
                del come[at][ref], gone[at][ref]
            leaves.update(own for own in come[at].items() if level == 0 or not reference.is_blob(own[0]))
        if level:
            found = _read(trees[0], number, level, [*come, *gone])
            nodes.append({ref: found[ref].refs for side in come for ref in side if ref in found})
            come, gone = ([_below(side, found) for side in sides] for sides in (come, gone))
    return Fresh(leaves, {ref: below for own in reversed(nodes) for ref, below in own.items()})


def _read(reader: TableTree, number: int, level: int, sides: Sequence[Mapping[Ref, int]]) -> dict[Ref, Node]:
    wanted = list(dict.fromkeys(ref for side in sides for ref in side if reference.is_blob(ref)))
    return dict(zip(wanted, reader.nodes([(number, ref, level) for ref in wanted]), strict=True))


def _below(side: Mapping[Ref, int], found: Mapping[Ref, Node]) -> dict[Ref, int]:
    """The children of the nodes among these."""
    return {
        child: rows
        for ref in side
        if (node := found.get(ref)) is not None
        for child, rows in zip(node.refs, node.counts, strict=True)
    }
