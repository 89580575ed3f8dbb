"""What is sealed: by the book, in its place alone, and never twice under one key and nonce."""

from __future__ import annotations

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given
from hypothesis import strategies as st

from snapstore.digest import Naming, digest
from snapstore.encryption import Sealed, new_master, unwrap, wrap
from snapstore.errors import Corrupt
from snapstore.seal import PLAIN, Cost

MASTER, ID = bytes(range(32)), bytes(range(16))
CHEAP = Cost(memory_kib=8, passes=1, lanes=1)
SEAL = Sealed(MASTER, ID)


def purpose(name: str) -> bytes:
    """format.md §12."""
    return blake3(MASTER + ID, derive_key_context=f"snapstore v2 {name}").digest()


@given(st.binary(max_size=300), st.integers(0, 2**64 - 1), st.binary(max_size=40), st.binary(max_size=40))
def test_a_piece_is_sealed_as_the_format_says(plain: bytes, at: int, salt: bytes, bound: bytes) -> None:
    key = blake3(b"packs/ab\0" + salt, key=purpose("seal")).digest()
    stored = AESGCM(key).encrypt(at.to_bytes(8, "little") + bytes(4), plain, bound)
    assert SEAL.close("packs/ab", plain, at=at, salt=salt, bound=bound) == stored
    assert SEAL.open("packs/ab", stored, at=at, salt=salt, bound=bound) == plain
    assert len(stored) == len(plain) + SEAL.overhead_bytes


def test_names_and_cuts_go_by_secrets() -> None:
    assert SEAL.naming.digest(b"blob") == blake3(b"blob", key=purpose("digest")).digest() != digest(b"blob")
    assert SEAL.naming.gear == blake3(b"snapstore gear v1", key=purpose("gear")).digest(length=1024)
    assert SEAL.naming.gear != Naming().gear == PLAIN.naming.gear
    assert SEAL.cut_key == purpose("cut") != PLAIN.cut_key
    assert SEAL.mark(b"config") == blake3(b"config", key=purpose("config")).digest()
    assert Sealed(MASTER, bytes(16)).naming.digest(b"blob") != SEAL.naming.digest(b"blob"), "another repository"


def test_a_piece_opens_in_its_own_place_alone() -> None:
    stored = bytes(SEAL.close("packs/a", b"plain", at=40, salt=b"salt", bound=b"head"))
    for place, at, salt, bound in (
        ("packs/b", 40, b"salt", b"head"),
        ("packs/a", 41, b"salt", b"head"),
        ("packs/a", 40, b"tlas", b"head"),
        ("packs/a", 40, b"salt", b"tail"),
        ("packs/a\0s", 40, b"alt", b"head"),
    ):
        with pytest.raises(Corrupt, match=place[:7]):
            SEAL.open(place, stored, at=at, salt=salt, bound=bound)
    for at in range(len(stored)):
        with pytest.raises(Corrupt, match="packs/a"):
            SEAL.open("packs/a", stored[:at], at=40, salt=b"salt", bound=b"head")
        changed = bytes([*stored[:at], stored[at] ^ 1, *stored[at + 1 :]])
        with pytest.raises(Corrupt, match="packs/a"):
            SEAL.open("packs/a", changed, at=40, salt=b"salt", bound=b"head")


def test_a_passphrase_wraps_the_master_key_as_the_format_says() -> None:
    stretched = Argon2id(salt=bytes(16), length=32, iterations=1, lanes=1, memory_cost=8).derive(b"word")
    wrapped = wrap(MASTER, b"word", bytes(16), CHEAP, b"bound")
    assert wrapped == AESGCM(stretched).encrypt(bytes(12), MASTER, b"bound")
    assert unwrap(wrapped, b"word", bytes(16), CHEAP, b"bound") == MASTER
    for passphrase, salt, cost, bound in (
        (b"Word", bytes(16), CHEAP, b"bound"),
        (b"word", bytes(15) + b"\1", CHEAP, b"bound"),
        (b"word", bytes(16), Cost(9, 1, 1), b"bound"),
        (b"word", bytes(16), CHEAP, b"other"),
    ):
        assert unwrap(wrapped, passphrase, salt, cost, bound) is None


def test_secrets_are_not_in_what_is_shown() -> None:
    assert MASTER.hex() not in repr(SEAL) + repr(SEAL.naming)
    assert repr(SEAL.naming) == "Naming()"
    assert new_master() != new_master()


def test_a_key_that_claims_terabytes_is_not_one() -> None:
    assert Cost().is_sane
    assert CHEAP.is_sane
    for cost in (Cost(memory_kib=1 << 32), Cost(passes=0), Cost(passes=1 << 20), Cost(lanes=0), Cost(lanes=255)):
        assert not cost.is_sane
