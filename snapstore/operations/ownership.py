"""Whose each blob is: needed by one snapshot alone, or by several; found in one walk over all of them.

    owned = Ownership(store)
    for owner, snapshot in enumerate(snapshots):
        owned.add(owner, "public.memories", children)
    owned.unique[owner].plain_bytes         # what only this one needs: what goes if it goes

A blob is counted when it is first met, and taken from its owner when a second one needs it; what lies beneath is walked
again only then. So every blob is looked at once, and once more if it is shared. Memory: 44 bytes for each blob. It does
not know what an owner is: one snapshot, or a set of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from snapstore.blobs.pack import rows_of
from snapstore.blobs.segment import prefixes
from snapstore.blobs.store import BlobStore
from snapstore.digest import Kind
from snapstore.tree.walk import Child, children

__all__ = ["Amount", "Ownership"]

_BATCH = 4096
_SHARED = -1


@dataclass(frozen=True, slots=True)
class Amount:
    """Some blobs: how many, their plain bytes, and their share of the stored frames they are in."""

    blobs: int = 0
    plain_bytes: int = 0
    stored_bytes: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.blobs + other.blobs, self.plain_bytes + other.plain_bytes, self.stored_bytes + other.stored_bytes
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.blobs - other.blobs, self.plain_bytes - other.plain_bytes, self.stored_bytes - other.stored_bytes
        )


class _Was(IntEnum):
    """What a blob was to whoever needs it now."""

    NEW = 0
    OWN = 1
    TAKEN = 2  # another's, and shared from now on
    SHARED = 3


class _Owners:
    """Digests and who owns them: sorted runs, merged so that there are few."""

    def __init__(self) -> None:
        self._runs: list[tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.int32]]] = []

    def claim(self, rows: NDArray[np.uint8], owner: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """What each of these digests, shape (n, 32) without repeats, was to this owner, and whose it was."""
        was = np.zeros(len(rows), np.uint8)
        whose = np.full(len(rows), owner, np.int32)
        wanted = prefixes(rows)
        open_ = np.arange(len(rows))
        for keys, digests, owners in self._runs:
            asked = open_
            at = np.searchsorted(keys, wanted[asked])
            while len(asked):
                near = at < len(keys)
                asked, at = asked[near], at[near]
                near = keys[at] == wanted[asked]
                asked, at = asked[near], at[near]
                same = (digests[at] == rows[asked]).all(axis=1)
                hits, places = asked[same], at[same]
                whose[hits] = owners[places]
                was[hits] = np.select(
                    [owners[places] == owner, owners[places] == _SHARED], [_Was.OWN, _Was.SHARED], _Was.TAKEN
                )
                owners[places] = np.where(owners[places] == owner, owner, _SHARED)
                asked, at = asked[~same], at[~same] + 1  # another digest with the same first bytes
            open_ = np.flatnonzero(was == _Was.NEW)
        if len(open_):
            self._runs.append(_sorted(rows[open_], np.full(len(open_), owner, np.int32)))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            (_, last, own), (_, before, theirs) = self._runs.pop(), self._runs.pop()
            self._runs.append(_sorted(np.concatenate([before, last]), np.concatenate([theirs, own])))
        return was, whose


def _sorted(
    rows: NDArray[np.uint8], owners: NDArray[np.int32]
) -> tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.int32]]:
    keys = prefixes(rows)
    order = np.argsort(keys, kind="stable")
    return keys[order], rows[order], owners[order]


Label = TypeVar("Label", bound=Hashable)


@dataclass(slots=True)
class Ownership(Generic[Label]):
    """Sums over blobs, each counted once: `first` by the owner who came first, `unique` by the only owner.

    `by_label` and `by_kind` are of what was first met under a label, and of each kind.
    """

    store: BlobStore
    first: defaultdict[int, Amount] = field(default_factory=lambda: defaultdict(Amount))
    unique: defaultdict[int, Amount] = field(default_factory=lambda: defaultdict(Amount))
    by_label: defaultdict[Label, Amount] = field(default_factory=lambda: defaultdict(Amount))
    by_kind: defaultdict[Kind, Amount] = field(default_factory=lambda: defaultdict(Amount))
    _owners: _Owners = field(default_factory=_Owners)

    def add(self, owner: int, label: Label, named: Sequence[Child]) -> None:
        """An owner (0 or more) needs these and all beneath. Raises `NotFound` or `Corrupt` for what cannot be read."""
        waiting = list(named)
        while waiting:
            batch = list({child.digest: child for child in waiting[-_BATCH:]}.values())
            del waiting[-_BATCH:]
            was, whose = self._owners.claim(rows_of([child.digest for child in batch]), owner)
            moved = np.flatnonzero((was == _Was.NEW) | (was == _Was.TAKEN)).tolist()
            if not moved:
                continue
            some = [batch[at] for at in moved]
            self._count(some, (was[moved] == _Was.NEW), whose[moved], owner, label)
            inner = [child for child in some if not child.leaf]
            for child, data in zip(inner, self.store.get_many([child.digest for child in inner]), strict=True):
                waiting.extend(children(child, data))

    def _count(
        self,
        some: Sequence[Child],
        is_new: NDArray[np.bool_],
        whose: NDArray[np.int32],
        owner: int,
        label: Label,
    ) -> None:
        places = self.store.locate([child.digest for child in some])
        plain = np.where(places.found, places.length, 0)
        stored = np.where(places.found, places.length * (places.stored / np.maximum(places.plain, 1)), 0.0)

        def amount(chosen: NDArray[np.bool_]) -> Amount:
            return Amount(int(chosen.sum()), int(plain[chosen].sum()), float(stored[chosen].sum()))

        fresh = amount(is_new)
        self.first[owner] += fresh
        self.unique[owner] += fresh
        self.by_label[label] += fresh
        kinds = np.array([child.kind for child in some], np.uint8)
        for kind in np.unique(kinds[is_new]).tolist():
            self.by_kind[Kind(kind)] += amount(is_new & (kinds == kind))
        for other in np.unique(whose[~is_new]).tolist():
            self.unique[other] -= amount(~is_new & (whose == other))
