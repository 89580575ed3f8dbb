"""The key hash on columns is the library's keyed BLAKE3, whatever the keys."""

from __future__ import annotations

import numpy as np
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from snapstore.rows import Cells
from snapstore.tree.keyhash import first_words

CUT_KEY = bytes(range(32))


def by_the_library(key: bytes) -> int:
    return int.from_bytes(blake3(key, key=CUT_KEY).digest(length=8), "big")


@given(st.lists(st.binary(max_size=140), min_size=1, max_size=40))
def test_keys_of_any_length_hash_as_the_library_says(keys: list[bytes]) -> None:
    assert first_words(Cells.of(keys), CUT_KEY).tolist() == [by_the_library(key) for key in keys]


def test_fixed_keys_of_every_width_of_a_block_hash_as_the_library_says() -> None:
    chance = np.random.Generator(np.random.PCG64(3))
    for width in range(1, 66):
        rows = chance.integers(0, 256, (5, width), np.uint8)
        hashes = first_words(Cells.fixed(rows), CUT_KEY)
        assert hashes.tolist() == [by_the_library(row.tobytes()) for row in rows]


def test_more_keys_than_are_hashed_at_once_keep_their_order() -> None:
    numbers = np.arange(40_000, dtype=">u8")
    hashes = first_words(Cells.fixed(numbers.view(np.uint8).reshape(-1, 8)), CUT_KEY)
    for at in (0, 16_383, 16_384, 32_768, 39_999):
        assert hashes[at] == by_the_library(int(at).to_bytes(8, "big"))
