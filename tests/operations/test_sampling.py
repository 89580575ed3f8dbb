"""So many rounds read everything, each byte once, whoever counts them and wherever they begin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import Invalid
from snapstore.operations.sampling import Sample

PACKS = st.binary(min_size=16, max_size=16).map(bytes.hex)


@given(PACKS, st.integers(0, 300), st.floats(0.5, 100), st.integers(0, 1 << 40))
def test_consecutive_rounds_read_every_frame_once(pack: str, count: int, percent: float, first: int) -> None:
    rounds = [Sample(percent, first + at) for at in range(Sample(percent, first).shares)]
    read = np.sum([one.frames(pack, count) for one in rounds], axis=0)
    assert (read == 1).all()
    assert max((int(one.frames(pack, count).sum()) for one in rounds), default=0) <= -(-count // len(rounds)) + 1


@given(PACKS, st.integers(1, 300), st.floats(0.5, 100), st.integers(0, 1 << 40))
def test_the_frames_of_a_round_stand_side_by_side(pack: str, count: int, percent: float, number: int) -> None:
    at = np.flatnonzero(Sample(percent, number).frames(pack, count))
    assert (np.diff(at) == 1).all()


@pytest.mark.parametrize(("percent", "shares"), [(10, 10), (0.1, 1000), (33.4, 2), (33.3, 3), (100, 1), (60, 1)])
def test_a_round_reads_the_share_or_more(percent: float, shares: int) -> None:
    assert Sample(percent, 0).shares == shares


@pytest.mark.parametrize(("percent", "number"), [(0, 1), (-1, 1), (101, 1), (float("nan"), 1), (10, -1)])
def test_an_impossible_sample_is_refused(percent: float, number: int) -> None:
    with pytest.raises(Invalid):
        Sample(percent, number)
