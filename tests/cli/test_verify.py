"""`snap verify` names what is damaged and what that harms, and exits 4."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Snap


def packs(folder: Path) -> list[Path]:
    return sorted((folder / ".snapstore" / "packs").glob("*/*"))


@pytest.mark.parametrize("words", [[], ["latest"], ["--read-data"], ["--sample", "10%"], ["--sample", "100"]])
def test_a_sound_repository_has_no_damage(snap: Snap, url: str, words: list[str]) -> None:
    snap("take", url)
    document = snap.json("verify", *words)
    assert document["damaged"] == []
    assert len(document["snapshots"]) == 1
    assert "no damage" in snap("check", *words).stdout


def test_a_flipped_byte_is_named_with_what_it_harms(snap: Snap, url: str, folder: Path) -> None:
    taken = snap.json("take", url)["snapshot"]
    for pack in packs(folder):
        data = bytearray(pack.read_bytes())
        data[60] ^= 1
        pack.write_bytes(data)
    document = snap.json("verify", "--read-data", code=4)
    assert document["damaged"]
    for damage in document["damaged"]:
        assert {"blob", "pack", "snapshots", "tables"} <= damage.keys()
    assert any(taken in damage["snapshots"] for damage in document["damaged"])
    assert "damaged" in snap("verify", "--read-data", code=4).stdout


def test_a_lost_pack_is_found_without_reading_data(snap: Snap, url: str, folder: Path) -> None:
    snap("take", url)
    for pack in packs(folder):
        pack.unlink()
    shown = snap("verify", code=4).stdout
    assert "public.memories" in shown


@pytest.mark.parametrize(
    "words", [["--sample", "much"], ["--sample", "0"], ["--sample", "101%"], ["--read-data", "--sample", "5"]]
)
def test_an_impossible_share_is_misuse(snap: Snap, url: str, words: list[str]) -> None:
    snap("take", url)
    snap("verify", *words, code=2)
