"""`snap cache`, and sizes as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from snap_cli.sizes import size_of
from snapstore.errors import Invalid
from tests.cli.command import Snap


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("17", 17), ("17B", 17), ("500MB", 500_000_000), ("1.5G", 1_500_000_000), ("64 MiB", 64 << 20),
     ("2k", 2000), ("1tb", 10**12)],
)  # fmt: skip
def test_a_size_is_a_number_and_a_unit(text: str, size: int) -> None:
    assert size_of(text, "--min-free") == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1e9", "5 apples", "1.G", "1mm"])
def test_what_is_no_size_is_named(text: str) -> None:
    with pytest.raises(Invalid, match="--min-free"):
        size_of(text, "--min-free")


def test_the_cache_is_told_of_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "kept"
    monkeypatch.setenv("SNAP_CACHE", str(folder))
    monkeypatch.setenv("SNAP_CACHE_SIZE", "64MB")
    snap = Snap(tmp_path)
    assert snap.json("cache", "info") == {"folder": str(folder), "limit_bytes": 64_000_000, "repositories": []}
    entry = folder / ("ab" * 16) / "cd" / ("ef" * 31)
    entry.parent.mkdir(parents=True)
    entry.write_bytes(bytes(1000))
    assert snap.json("cache", "info")["repositories"] == [{"id": "ab" * 16, "entries": 1, "bytes": 1000}]
    assert "1.0 kB" in snap("cache", "info").stdout
    assert "1.0 kB given back" in snap("cache", "clear").stdout
    assert not entry.exists()
    monkeypatch.setenv("SNAP_CACHE_SIZE", "much")
    assert "SNAP_CACHE_SIZE" in snap.error("cache", "info", code=2)["message"]
    monkeypatch.delenv("SNAP_CACHE")
    monkeypatch.delenv("SNAP_CACHE_SIZE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert snap.json("cache", "info")["folder"] == str(tmp_path / "home" / "snapstore")
