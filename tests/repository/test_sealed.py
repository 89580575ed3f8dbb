"""Small objects: sealed and opened again; every other byte is found, and told from a newer format."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.digest import digest
from snapstore.errors import Corrupt, Unsupported
from snapstore.repository import config, tombstones
from snapstore.repository.sealed import seal, unseal
from snapstore.repository.tombstones import Tombstone

PACK = "ab" * 16


@given(st.sampled_from(["C", "S", "D"]), st.binary(max_size=80))
def test_what_is_sealed_is_opened(letter: str, body: bytes) -> None:
    data = seal(letter, body)
    assert unseal(letter, data, "here") == body
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x20
        with pytest.raises((Corrupt, Unsupported), match="here"):
            unseal(letter, bytes(changed), "here")
        with pytest.raises(Corrupt, match="here"):
            unseal(letter, data[:at], "here")
    with pytest.raises(Corrupt, match="not an object"):
        unseal("X", data, "here")


def test_a_newer_format_is_refused_by_name() -> None:
    data = seal("C", b"body")
    newer = data[:6] + (2).to_bytes(2, "little") + data[8:-32]
    with pytest.raises(Unsupported, match="format 2") as caught:
        unseal("C", newer + digest(newer), "config of here")
    assert "Nothing was changed" in caught.value.hint


def test_tombstones_come_back_and_know_their_place() -> None:
    data = tombstones.encode(Tombstone(PACK, "2026-01-31T00:00:00.000000Z"))
    assert tombstones.decode(data, f"condemned/{PACK}").pack == PACK
    assert tombstones.encode(Tombstone(PACK, "x")) != tombstones.encode(Tombstone(PACK, "x")), "a fresh nonce"
    with pytest.raises(Corrupt, match="another's place"):
        tombstones.decode(data, "condemned/" + "cd" * 16)


@given(st.binary(max_size=60))
def test_random_bodies_are_objects_or_corrupt(body: bytes) -> None:
    for letter, decode in (("D", tombstones.decode), ("C", config.decode)):
        with pytest.raises(Corrupt):
            decode(seal(letter, body), f"condemned/{PACK}")


def test_a_config_comes_back() -> None:
    made = config.plain(created="2026-01-31T00:00:00.000000Z", program="snapstore")
    assert config.decode(config.encode(made), "config") == made
    other = config.plain(created="2026-01-31T00:00:00.000000Z", program="snapstore")
    assert made.id != other.id
    assert made.cut_key == other.cut_key == digest(b"snapstore cut key v1"), "roots compare across repositories"
