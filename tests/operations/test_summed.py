"""A file that is summed as it is written has the sum of what is in it, and says what could not be written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from snapstore.operations.summed import Summed


def test_the_sum_is_that_of_the_file(tmp_path: Path) -> None:
    pieces = [bytes([at]) * at * 1000 for at in range(20)]
    with Summed(tmp_path / "file") as file:
        for piece in pieces:
            file.write(piece)
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)
    assert file.sum == hashlib.sha256(b"".join(pieces)).hexdigest()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("pieces", [1, 30])
def test_what_could_not_be_written_is_said(pieces: int) -> None:
    with pytest.raises(OSError, match="No space"):
        fill(Path("/dev/full"), pieces)


def fill(path: Path, pieces: int) -> None:
    with Summed(path) as file:
        for _ in range(pieces):
            file.write(bytes(100_000))
