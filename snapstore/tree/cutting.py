"""The rows of a table outside some stretches of its keys, never reading what lies wholly within one.

    for divided in rows_outside(tree, [Stretch(None, b"k17"), ...]):
        divided.kept, divided.lost

It is for tables of which some blobs are lost: whoever calls knows which rows need them. It does not know why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Corrupt, NotFound
from snapstore.rows import Batch, Cells
from snapstore.tree.reader import Span, TableTree

__all__ = ["Divided", "Stretch", "rows_outside"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows whose key k is `after` < k ≤ `upto` (None: from the first, to the last)."""

    after: bytes | None
    upto: bytes | None

    def has_all(self, after: bytes | None, upto: bytes | None) -> bool:
        """Whether all keys between these two are in it."""
        begins = self.after is None or (after is not None and self.after <= after)
        return begins and (self.upto is None or (upto is not None and upto <= self.upto))

    def meets(self, after: bytes | None, upto: bytes | None) -> bool:
        """Whether some keys between these two may be in it."""
        return (self.upto is None or after is None or after < self.upto) and (
            self.after is None or upto is None or self.after < upto
        )

    def has(self, keys: Cells) -> NDArray[np.bool_]:
        """Which of these keys are in it, shape (n,)."""
        plain = (key or b"" for key in keys.to_list())
        inside = ((self.after is None or key > self.after) and (self.upto is None or key <= self.upto) for key in plain)
        return np.fromiter(inside, np.bool_, len(keys))


@dataclass(frozen=True, slots=True)
class Divided:
    """Rows that are outside (cells still spilled), keys of rows that are not, and how many of these cannot be named."""

    kept: Batch | None = None
    lost: Cells | None = None
    unnamed: int = 0


def rows_outside(tree: TableTree, stretches: Sequence[Stretch], *, keeping: bool = True) -> Iterator[Divided]:
    """All rows in order of key; if not `keeping`, only those that are lost, and what must be read for that.

    Raises `Corrupt` and `NotFound` for what cannot be read outside these stretches.
    """
    for span in tree.spans():
        yield from _outside(tree, span, None, span.separator, stretches, keeping)


def _outside(
    tree: TableTree, span: Span, after: bytes | None, upto: bytes | None, stretches: Sequence[Stretch], keeping: bool
) -> Iterator[Divided]:
    near = [one for one in stretches if one.meets(after, upto)]
    if not near and not keeping:
        return
    if any(one.has_all(after, upto) for one in near):
        yield from _keys(tree, span._replace(refs=(span.refs[0], *[None] * (len(span.refs) - 1))))
    elif span.level:
        [children] = tree.expand([span])
        for child in children:
            yield from _outside(tree, child, after, child.separator, near, keeping)
            after = child.separator
    else:
        batch = tree.batch([span])
        within = np.logical_or.reduce([np.zeros(len(batch), np.bool_), *(one.has(batch.keys) for one in near)])
        lost = np.flatnonzero(within)
        yield Divided(kept=batch.take(np.flatnonzero(~within)), lost=batch.keys.take(lost) if len(lost) else None)


def _keys(tree: TableTree, span: Span) -> Iterator[Divided]:
    """The keys beneath a span, as far as they can be read."""
    try:
        if not span.level:
            yield Divided(lost=tree.keys([span]))
            return
        [children] = tree.expand([span])
    except (Corrupt, NotFound):
        yield Divided(unnamed=span.count)
        return
    for child in children:
        yield from _keys(tree, child)
