"""Cuts: from keys alone, at the same places however keys come, never further apart than the limit."""

from __future__ import annotations

import numpy as np
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from snapstore.rows import Cells
from snapstore.tree.cuts import LIMIT, Stretch, weigh
from tests.tree.sample import CUT_KEY, number


def naive(is_cut: list[bool]) -> list[int]:
    """format.md §4, word by word: after each hash cut, and every 256 counted from the last one."""
    ends, since = [], 0
    for at, cut in enumerate(is_cut):
        since += 1
        if cut or since % LIMIT == 0:
            ends.append(at + 1)
        if cut:
            since = 0
    return ends


@given(st.lists(st.integers(0, 2000), max_size=8), st.lists(st.integers(1, 700), min_size=1, max_size=9))
def test_cuts_do_not_depend_on_how_rows_come(places: list[int], sizes: list[int]) -> None:
    total = sum(sizes)
    is_cut = np.zeros(total, np.bool_)
    is_cut[[place for place in places if place < total]] = True
    stretch, ends, given_ = Stretch(), list[int](), 0
    for size in sizes:
        start = ends[-1] if ends else 0
        given_ += size
        ends += [start + end for end in stretch.ends(is_cut[start:given_])]
    assert ends == naive(is_cut.tolist())
    assert all(b - a <= LIMIT for a, b in zip([0, *ends], [*ends, total], strict=True))


def test_the_weight_of_a_key_is_its_leading_zero_bits_by_five() -> None:
    keys = [number(id_) for id_ in range(4000)]
    weights = weigh(Cells.of(keys, width=4), CUT_KEY)
    for key, weight in zip(keys, weights.tolist(), strict=True):
        hashed = int.from_bytes(blake3(key, key=CUT_KEY).digest(length=8), "big")
        assert weight == (64 - hashed.bit_length()) // 5
    assert 80 < int((weights >= 1).sum()) < 170, "one key in 32"


def test_no_weight_is_more_than_twelve() -> None:
    # 64 zero bits are 12 times 5; nobody finds a key for more.
    assert int(weigh(Cells.of([b"x"]), CUT_KEY).max()) <= 12
