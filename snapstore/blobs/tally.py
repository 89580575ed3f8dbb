"""How much of each pack is needed, from one pass through the index in order of digest.

    counted = tally(parts, states, names, is_live)
    counted["0a1b…"].served, counted["0a1b…"].live_bytes

Of a blob that several packs hold one copy counts: one in a pack that is not condemned before others, and of those the
one in the pack of the lowest name, so that collections on several machines choose alike. Every segment is read once,
front to back, and a range of digests at a time is in memory. It knows packs by what the index says of them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from snapstore.blobs.segment import ENTRY, MAX_BLOB_BYTES, prefixes

__all__ = ["Part", "Tally", "tally"]

_RANGE = 1 << 15  # entries looked at together, about


class Part(Protocol):
    """Index entries in order of digest, with the frames and the numbers of the packs that they name."""

    @property
    def frames(self) -> NDArray[np.void]:
        """As `Segment.frames`."""

    @property
    def packs(self) -> NDArray[np.int64]:
        """The number of each pack, shape (packs of `frames`,)."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one pack: how many blobs the index says are in it, how many of them are needed and count as this pack's,
    and the stored bytes of these (a frame's go by plain bytes).
    """

    indexed: int
    served: int
    live_bytes: int


def tally(
    parts: Sequence[tuple[Part, Iterator[NDArray[np.void]]]],
    entries: int,
    states: NDArray[np.uint8],
    names: Sequence[str],
    is_live: Callable[[NDArray[np.uint8]], NDArray[np.bool_]],
) -> dict[str, Tally]:
    """A tally for each pack that has a state above 0, by name; a copy in one of a higher state counts first.

    Each part comes with its entries, in pieces; `entries` is about how many there are in all, `states` and `names` are
    by number of the pack.
    """
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(np.array(names, np.str_), kind="stable")] = np.arange(len(names))
    preference = rank - states.astype(np.int64) * len(names)  # lower first
    indexed, served = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    live_bytes = np.zeros(len(names))
    runs = [_Run(part, pieces) for part, pieces in parts]
    ranges = entries // _RANGE + 1
    for number in range(1, ranges + 1):
        below = [run.below((number << 64) // ranges) for run in runs]
        digests, pack, stored = (np.concatenate(fields) for fields in zip(*below, strict=True)) if below else _NONE
        there = np.flatnonzero(states[pack])
        there = there[np.argsort(prefixes(digests[there]), kind="stable")]
        digests, pack, stored = digests[there], pack[there], stored[there]
        is_distinct, is_first = _chosen(digests, preference[pack])
        indexed += np.bincount(pack[is_distinct], minlength=len(names))
        chosen = np.flatnonzero(is_first)
        chosen = chosen[is_live(digests[chosen])]
        served += np.bincount(pack[chosen], minlength=len(names))
        live_bytes += np.bincount(pack[chosen], stored[chosen], len(names))
    # What rounding adds to a sum of shares is far less than a thousandth of a byte.
    bytes_ = np.ceil(live_bytes - 1e-3).astype(np.int64)
    return {
        names[at]: Tally(int(indexed[at]), int(served[at]), int(bytes_[at])) for at in np.flatnonzero(states).tolist()
    }


_Fields = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float64]]
_NONE: _Fields = (np.zeros((0, 32), np.uint8), np.zeros(0, np.int64), np.zeros(0))


class _Run:
    """The entries of one part, taken from the front."""

    def __init__(self, part: Part, pieces: Iterator[NDArray[np.void]]) -> None:
        self._part = part
        self._pieces = pieces
        self._rest = np.zeros(0, ENTRY)

    def below(self, key: int) -> _Fields:
        """Digest, pack and share of the stored bytes of all whose first eight bytes are less than this number."""
        taken = []
        while True:
            at = len(self._rest)
            if key < 1 << 64:
                at = int(np.searchsorted(prefixes(self._rest["digest"]), np.uint64(key)))
            taken.append(self._rest[:at])
            self._rest = self._rest[at:]
            if len(self._rest):
                break
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest = piece
        entries = np.concatenate(taken)
        frames = self._part.frames[entries["frame"]]
        pack = self._part.packs[frames["pack"]] if len(entries) else np.zeros(0, np.int64)
        length = (entries["size"] & MAX_BLOB_BYTES).astype(np.float64)
        return entries["digest"], pack, length * frames["stored"] / np.maximum(frames["plain"], 1)


def _chosen(digests: NDArray[np.uint8], preference: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which entries are the first of their digest in their pack, and which are the one preferred of their digest.

    `digests` are in order of their first eight bytes; a preference belongs to one pack.
    """
    is_distinct, is_first = np.ones(len(digests), np.bool_), np.ones(len(digests), np.bool_)
    keys = prefixes(digests)
    is_twin = np.zeros(len(digests), np.bool_)
    is_twin[1:] = keys[1:] == keys[:-1]
    is_twin[:-1] |= is_twin[1:]
    twins = np.flatnonzero(is_twin)
    if len(twins):
        words = np.ascontiguousarray(digests[twins]).view(">u8").astype(np.uint64)
        order = np.lexsort((preference[twins], *(words[:, word] for word in (3, 2, 1, 0))))
        twins, words = twins[order], words[order]
        is_same = np.zeros(len(twins), np.bool_)
        is_same[1:] = (words[1:] == words[:-1]).all(axis=1)
        is_first[twins[is_same]] = False
        is_same[1:] &= preference[twins][1:] == preference[twins][:-1]
        is_distinct[twins[is_same]] = False
    return is_distinct, is_first
