"""Small objects: sealed and opened again; every other byte is found, and told from a newer format."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.digest import digest
from snapstore.encryption import Sealed
from snapstore.errors import Corrupt, Unsupported
from snapstore.repository import config, tombstones
from snapstore.repository.sealed import checked, seal, unchecked, unseal
from snapstore.repository.tombstones import Tombstone
from snapstore.seal import PLAIN, Seal

PACK = "ab" * 16
SEALED = Sealed(bytes(range(32)), bytes(16))


@given(st.sampled_from(["S", "D"]), st.binary(max_size=80), st.sampled_from([PLAIN, SEALED]))
def test_what_is_sealed_is_opened(letter: str, body: bytes, by: Seal) -> None:
    data = seal(letter, "here", body, by)
    assert unseal(letter, "here", data, by) == body
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x20
        with pytest.raises((Corrupt, Unsupported), match="here"):
            unseal(letter, "here", bytes(changed), by)
        with pytest.raises(Corrupt, match="here"):
            unseal(letter, "here", data[:at], by)
    with pytest.raises(Corrupt, match="not an object"):
        unseal("X", "here", data, by)


def test_a_sealed_object_opens_in_its_place_alone_and_says_nothing() -> None:
    data = seal("S", "snapshots/a", b"a secret", SEALED)
    assert b"secret" not in data
    assert data[8:] != seal("S", "snapshots/a", b"a secret", SEALED)[8:], "a salt of its own each time"
    for letter, name, by in (
        ("S", "snapshots/b", SEALED),
        ("D", "snapshots/a", SEALED),
        ("S", "snapshots/a", Sealed(bytes(32), bytes(16))),
        ("S", "snapshots/a", PLAIN),
    ):
        with pytest.raises(Corrupt, match="snapshots/"):
            unseal(letter, name, data, by)
    with pytest.raises(Corrupt, match="not sealed, in an encrypted repository"):
        unseal("S", "snapshots/a", seal("S", "snapshots/a", b"planted", PLAIN), SEALED)


def test_a_newer_format_is_refused_by_name() -> None:
    data = checked("C", 3, b"body")
    with pytest.raises(Unsupported, match="config of here is written in format 3") as caught:
        unchecked("C", data, "config of here")
    assert "newer release" in caught.value.hint


@pytest.mark.parametrize("by", [PLAIN, SEALED])
def test_tombstones_come_back_and_know_their_place(by: Seal) -> None:
    data = tombstones.encode(Tombstone(PACK, "2026-01-31T00:00:00.000000Z"), by)
    assert tombstones.decode(data, f"condemned/{PACK}", by).pack == PACK
    assert tombstones.encode(Tombstone(PACK, "x"), by) != tombstones.encode(Tombstone(PACK, "x"), by), "a fresh nonce"
    with pytest.raises(Corrupt, match="another's place" if by is PLAIN else "damaged"):
        tombstones.decode(data, "condemned/" + "cd" * 16, by)


@given(st.binary(max_size=60))
def test_random_bodies_are_objects_or_corrupt(body: bytes) -> None:
    with pytest.raises(Corrupt):
        tombstones.decode(seal("D", f"condemned/{PACK}", body, PLAIN), f"condemned/{PACK}", PLAIN)
    for version in (1, 2):
        with pytest.raises(Corrupt):
            config.decode(checked("C", version, body), "config")


def test_a_sealed_config_comes_back_with_its_mark() -> None:
    made = config.encrypted(bytes(16), SEALED.mark, cipher="AES-256-GCM", created="2026", program="snapstore")
    assert config.decode(config.encode(made), "config") == made
    assert made.is_encrypted
    assert made.mark == SEALED.mark(config.fields_of(made))


def test_a_config_comes_back() -> None:
    made = config.plain(created="2026-01-31T00:00:00.000000Z", program="snapstore")
    assert config.decode(config.encode(made), "config") == made
    other = config.plain(created="2026-01-31T00:00:00.000000Z", program="snapstore")
    assert made.id != other.id
    assert made.cut_key == other.cut_key == digest(b"snapstore cut key v1"), "roots compare across repositories"
