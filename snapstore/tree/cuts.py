"""Where chunks and nodes end: from keys alone (format.md §4, Cuts), so that an update never moves a cut.

    weights = Cutter(cut_key).weigh(keys)      # λ of each row
    ends = Stretch(CHUNK_ROWS).ends(weights >= 1)

Integers only; no neighbour, size or value enters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snapstore.rows import Cells
from snapstore.tree.keyhash import first_words

__all__ = ["LIMIT", "Stretch", "weigh"]

BITS = 5
"""Leading zero bits a level: one row in 2^5 ends a chunk."""

LIMIT = 8 << BITS
"""Rows (or children) after which a stretch without a hash cut is cut all the same."""

# λ = the number of these that the hash's first 64 bits lie below.
_BELOW = np.array(sorted(1 << (64 - BITS * level) for level in range(1, 13)), np.uint64)


def weigh(keys: Cells, cut_key: bytes) -> NDArray[np.int64]:
    """λ of each key: ⌊leading zero bits of its keyed BLAKE3 / 5⌋, shape (n,), capped at 12."""
    return len(_BELOW) - np.searchsorted(_BELOW, first_words(keys, cut_key), side="right")


class Stretch:
    """Finds the ends of groups in a stream of members: after each hash cut, and every `LIMIT` members between two."""

    def __init__(self) -> None:
        self._since = 0

    def ends(self, is_cut: NDArray[np.bool_]) -> list[int]:
        """Positions (exclusive) at which groups end among these members, which follow the last end found.

        Members after the last position returned must be handed in again, first, with the next ones.
        """
        cuts = (np.flatnonzero(is_cut) + 1).tolist()
        ends: list[int] = []
        start = -self._since
        for cut in cuts:
            if cut - start > LIMIT:
                ends.extend(range(start + LIMIT, cut, LIMIT))
            ends.append(cut)
            start = cut
        ends.extend(range(start + LIMIT, len(is_cut) + 1, LIMIT))
        ends = [end for end in ends if end > 0]
        if ends:
            self._since = ends[-1] - start
        return ends
