"""What differs between two trees of a table, reading only where they differ (format.md §4).

    for changes in diff(before, after):
        changes.added, changes.removed, changes.changed
    for pairs in differing_leaves(before, after):        # the same, before any cell is read
        ...

Equal references are equal rows, so a walk skips them at any height; cuts come from keys alone, so an insert puts the
walk out of step for one chunk and no further. Columns are matched by name; a column of one side only is the caller's
affair.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapstore.rows import Batch, Cells
from snapstore.tree.chunk import differing
from snapstore.tree.reader import Span, TableTree

__all__ = ["Changed", "Pair", "RowChanges", "common_columns", "diff", "differing_leaves"]

_PAIRS = 64
"""Pairs of spans that are read in one round."""
_SEPARATOR = attrgetter("separator")


@dataclass(frozen=True, slots=True)
class Changed:
    """Rows of both sides whose cells differ: `differs[row, i]` for the i-th common column, shape (n, common).

    `before[i]` and `after[i]` hold the cells (still spilled) of just the rows in which column i differs, in order.
    """

    keys: Cells
    differs: NDArray[np.bool_]
    before: dict[int, Cells]
    after: dict[int, Cells]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class RowChanges:
    """A stretch of differences in order of key; each part may be empty. Rows are whole, cells still spilled."""

    added: Batch
    removed: Batch
    changed: Changed


class Pair(NamedTuple):
    """Spans of both sides that cover the same stretch of keys.

    `aligned` pairs are one span a side, hold the same keys, and want only the columns that may differ.
    """

    before: list[Span]
    after: list[Span]
    aligned: bool


def common_columns(before: TableTree, after: TableTree) -> list[tuple[int, int]]:
    """Positions in both tables of the columns with one name and type on both sides, in the order of `after`."""
    places = {(column.name, column.type, column.width): at for at, column in enumerate(before.table.columns)}
    return [
        (places[column.name, column.type, column.width], at)
        for at, column in enumerate(after.table.columns)
        if (column.name, column.type, column.width) in places
    ]


def diff(before: TableTree, after: TableTree, *, ignored: Collection[str] = ()) -> Iterator[RowChanges]:
    """Every row that was added, removed or changed, in order of key; reads O(changes · log rows) blobs.

    Both tables must have the same key; `Changed` speaks of `common_columns`. A difference in `ignored` columns is
    none, and where keys are the same these are not even read; rows that were added or removed have them.
    """
    if before.root == after.root:
        return
    common = common_columns(before, after)
    compared = [number for number, (_, at) in enumerate(common) if after.table.columns[at].name not in ignored]
    walk = _Walk(before, after, common, compared=compared)
    for run in walk.leaves():
        yield from walk.changes(run)


def differing_leaves(
    before: TableTree, after: TableTree, *, at_once: int = _PAIRS, where: Callable[[Span], bool] | None = None
) -> Iterator[list[Pair]]:
    """The stretches of level 0 in which something may differ, in order of key, `at_once` or fewer at a time.

    Nodes are read where they differ, and no chunk is. Both tables must have the same key. With `where` only stretches
    with a span of either side, and beneath such spans, of which it says so.
    """
    if before.root != after.root:
        yield from _Walk(before, after, common_columns(before, after), at_once, where=where).leaves()


class _Walk:
    """Through two trees at once; of the common columns only those with the numbers in `compared` can differ."""

    def __init__(
        self,
        before: TableTree,
        after: TableTree,
        common: list[tuple[int, int]],
        at_once: int = _PAIRS,
        *,
        compared: Sequence[int] | None = None,
        where: Callable[[Span], bool] | None = None,
    ) -> None:
        self._before = before
        self._after = after
        self._common = common
        numbers = range(len(common)) if compared is None else compared
        self._compared = [(number, *common[number]) for number in numbers]
        self._at_once = at_once
        self._where = where
        # Then equal references are of equal columns, and most spans are told to be equal at a glance.
        self._is_alike = before.table.columns == after.table.columns

    def leaves(self) -> Iterator[list[Pair]]:
        """The pairs of level 0 that may differ, as far as is known above them."""
        yield from self._pairs([Pair(self._before.spans(), self._after.spans(), aligned=False)])

    def _pairs(self, pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
        """Descend into each pair, depth first, a bounded number at a time."""
        # Narrowed first: of many children few differ, and those are then read together.
        narrow = [narrowed for pair in pairs if (narrowed := self._narrow(pair))]
        for start in range(0, len(narrow), self._at_once):
            some = narrow[start : start + self._at_once]
            for is_inner, run in groupby(some, key=lambda pair: _level(pair) > 0):
                if is_inner:
                    yield from self._pairs(self._descend(list(run)))
                else:
                    yield list(run)

    def _narrow(self, pair: Pair) -> Pair | None:
        """None if nothing differs that is asked for; where keys are the same, only columns that may differ stay."""
        if self._where is not None and not any(map(self._where, (*pair.before, *pair.after))):
            return None
        if not (len(pair.before) == len(pair.after) == 1):
            return pair if pair.before or pair.after else None
        if pair.aligned and self._is_alike and len(self._common) == 1:
            return pair  # it is one only because this column differs
        before, after = pair.before[0], pair.after[0]
        if before.level != after.level or before.refs[0] != after.refs[0]:
            return pair
        differing = [(a, b) for _, a, b in self._compared if before.refs[a + 1] != after.refs[b + 1]]
        if not differing:
            return None
        if len(differing) == len(before.refs) - 1 == len(after.refs) - 1:
            return Pair(pair.before, pair.after, aligned=True)
        return Pair([_only(before, [a for a, _ in differing])], [_only(after, [b for _, b in differing])], aligned=True)

    def _descend(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs one level down; of unequal heights only the higher side descends."""
        before = self._lower(self._before, [pair.before for pair in pairs], [_level(pair) for pair in pairs])
        after = self._lower(self._after, [pair.after for pair in pairs], [_level(pair) for pair in pairs])
        below: list[Pair] = []
        for old, new, pair in zip(before, after, pairs, strict=True):
            if pair.aligned:
                below.extend(
                    Pair([a], [b], aligned=True)
                    for a, b in zip(old, new, strict=True)
                    if not self._is_alike or a.refs != b.refs
                )
            else:
                below.extend(_align(old, new, self._is_alike))
        return below

    @staticmethod
    def _lower(tree: TableTree, groups: Sequence[list[Span]], levels: Sequence[int]) -> list[list[Span]]:
        high = [span for spans, level in zip(groups, levels, strict=True) for span in spans if span.level == level]
        children = iter(tree.expand(high))
        return [
            [child for span in spans for child in (next(children) if span.level == level else [span])]
            for spans, level in zip(groups, levels, strict=True)
        ]

    def changes(self, pairs: Sequence[Pair]) -> Iterator[RowChanges]:
        """Aligned pairs are compared column by column, all at once; others are merged by key."""
        run: list[Pair] = []
        for pair in pairs:
            if pair.aligned:
                run.append(pair)
                continue
            if run:
                yield self._compare(run)
                run = []
            yield self._merge(pair)
        if run:
            yield self._compare(run)

    def _compare(self, pairs: Sequence[Pair]) -> RowChanges:
        """Rows with the same keys on both sides; only columns whose references differ are read."""
        counts = [pair.after[0].count for pair in pairs]
        starts = np.concatenate([[0], np.cumsum(counts)])
        differs = np.zeros((int(starts[-1]), len(self._common)), np.bool_)
        cells: dict[int, tuple[NDArray[np.int64], Cells, Cells]] = {}
        for number, a, b in self._compared:
            touched = [at for at, pair in enumerate(pairs) if pair.before[0].refs[a + 1] is not None]
            if not touched:
                continue
            old = self._before.cells(a + 1, [pairs[at].before[0] for at in touched])
            new = self._after.cells(b + 1, [pairs[at].after[0] for at in touched])
            rows = np.concatenate([np.arange(starts[at], starts[at + 1]) for at in touched])
            differs[rows, number] = unequal(old, new)
            cells[number] = (rows, old, new)
        changed = np.flatnonzero(differs.any(axis=1))
        keys = self._after.keys([pair.after[0] for pair in pairs]).take(changed)
        before, after = {}, {}
        for number, (rows, old, new) in cells.items():
            own = np.flatnonzero(differs[rows, number])
            if len(own):
                before[number], after[number] = old.take(own), new.take(own)
        return RowChanges(self._after.empty(), self._before.empty(), Changed(keys, differs[changed], before, after))

    def _merge(self, pair: Pair) -> RowChanges:
        """Rows of a stretch whose keys differ, matched by key."""
        old = self._before.batch(pair.before) if pair.before else self._before.empty()
        new = self._after.batch(pair.after) if pair.after else self._after.empty()
        places = {key: at for at, key in enumerate(old.keys.to_list())}
        matches = np.fromiter((places.get(key, -1) for key in new.keys.to_list()), np.int64, len(new))
        is_both = matches >= 0
        gone = np.ones(len(old), np.bool_)
        gone[matches[is_both]] = False
        mine, theirs = matches[is_both], np.flatnonzero(is_both)
        differs = np.zeros((len(mine), len(self._common)), np.bool_)
        for number, a, b in self._compared:
            differs[:, number] = unequal(old.columns[a].take(mine), new.columns[b].take(theirs))
        changed = np.flatnonzero(differs.any(axis=1))
        before, after = {}, {}
        for number, a, b in self._compared:
            own = np.flatnonzero(differs[:, number])
            if len(own):
                before[number] = old.columns[a].take(mine[own])
                after[number] = new.columns[b].take(theirs[own])
        return RowChanges(
            new.take(np.flatnonzero(~is_both)),
            old.take(np.flatnonzero(gone)),
            Changed(new.keys.take(theirs[changed]), differs[changed], before, after),
        )


def _level(pair: Pair) -> int:
    # All spans of one side are of one level: they came down together.
    if not (pair.before and pair.after):
        return (pair.before or pair.after)[0].level
    return max(pair.before[0].level, pair.after[0].level)


def _only(span: Span, columns: Sequence[int]) -> Span:
    keep = {0, *(column + 1 for column in columns)}
    refs = tuple(ref if tree in keep else None for tree, ref in enumerate(span.refs))
    return Span(span.level, span.count, span.separator, refs)


def _align(before: Sequence[Span], after: Sequence[Span], is_alike: bool) -> list[Pair]:
    """Cut two lists of spans over one stretch of keys at every separator they share; equal ones are left out where
    both tables are alike.
    """
    pairs: list[Pair] = []
    if is_alike and list(map(_SEPARATOR, before)) == list(map(_SEPARATOR, after)):
        return [Pair([a], [b], aligned=False) for a, b in zip(before, after, strict=True) if a.refs != b.refs]
    ends = {span.separator: at for at, span in enumerate(after, 1)}
    old = new = 0
    for at, span in enumerate(before, 1):
        end = ends.get(span.separator)
        if end is None:
            continue
        if not (is_alike and at - old == end - new == 1 and span.refs == after[new].refs):
            pairs.append(Pair(list(before[old:at]), list(after[new:end]), aligned=False))
        old, new = at, end
    if old < len(before) or new < len(after):
        pairs.append(Pair(list(before[old:]), list(after[new:]), aligned=False))
    return pairs


def unequal(before: Cells, after: Cells) -> NDArray[np.bool_]:
    """Which of these cells differ, shape (n,). Equal values are equal digests, so spilled cells compare as they are."""
    count = len(after)
    if after.width:
        differs = differing(before.rows, after.rows)
    else:
        lengths = after.lengths
        differs = before.lengths != lengths
        same = np.flatnonzero(~differs)
        old, new = (before, after) if len(same) == count else (before.take(same), after.take(same))
        sums = np.zeros(len(new.data) + 1, np.int64)
        np.cumsum(old.data != new.data, out=sums[1:])
        differs[same] |= np.diff(sums[new.offsets]) > 0
    if before.valid is not None or after.valid is not None:
        valid = np.ones(count, np.bool_)
        differs |= (valid if before.valid is None else before.valid) != (valid if after.valid is None else after.valid)
    if before.spilled is not None or after.spilled is not None:
        none = np.zeros(count, np.uint8)
        differs |= (none if before.spilled is None else before.spilled) != (
            none if after.spilled is None else after.spilled
        )
    return differs
