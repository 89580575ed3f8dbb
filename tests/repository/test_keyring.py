"""Keys: each opens the repository alone, none is lost half-way, and none that was not made by a key's holder counts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore import encryption
from snapstore.backends import Backend
from snapstore.backends.memory import MemoryBackend
from snapstore.digest import Buffer, digest
from snapstore.errors import Conflict, Corrupt, Exists, Invalid, NotFound, SnapstoreError, Unsupported, WrongKey
from snapstore.operations.keys import key_add, key_list, key_passwd, key_remove
from snapstore.operations.verify import verify
from snapstore.repository import Repository, keyring
from snapstore.repository.keyring import KEYS, Key
from snapstore.repository.sealed import checked
from snapstore.seal import Cost
from tests.operations.points import Points, crash

ONE, TWO, THREE = b"the first passphrase", b"the second", b"the third"
CHEAP = Cost(memory_kib=8, passes=1, lanes=1)
FIELDS = ("repository", "kdf", "memory_kib", "passes", "lanes", "salt", "wrapped")
junk = st.none() | st.integers(-3, 1 << 40) | st.binary(max_size=20) | st.sampled_from(["argon2id", [], {}])


def fresh() -> tuple[MemoryBackend, Repository]:
    backend = MemoryBackend()
    return backend, Repository.init(backend, passphrase=ONE, cost=CHEAP)


def copied(backend: MemoryBackend) -> MemoryBackend:
    copy = MemoryBackend()
    for entry in backend.list():
        copy.put(entry.name, [backend.get(entry.name).data])
    return copy


def change(backend: MemoryBackend, name: str, data: bytes) -> None:
    with suppress(NotFound):
        backend.delete(name)
    backend.put(name, [data])


def names(backend: Backend) -> list[str]:
    return [entry.name for entry in backend.list(KEYS)]


def opens(backend: MemoryBackend, passphrase: bytes) -> bool:
    try:
        Repository.open(backend, passphrase)
    except WrongKey:
        return False
    return True


def test_every_key_opens_the_same_repository_and_nothing_else_does() -> None:
    backend, repository = fresh()
    added = key_add(repository, TWO, label="off-site", cost=CHEAP)
    other = Repository.open(backend, lambda: TWO)
    assert other.key_id == added.id
    assert other.blobs.naming == repository.blobs.naming
    assert other.cut_key == repository.cut_key != Repository.init(MemoryBackend()).cut_key
    assert [key.label for key in key_list(other) if isinstance(key, Key)] == ["", "off-site"]
    for wrong in (THREE, None, b"", ONE + b" "):
        with pytest.raises(WrongKey):
            Repository.open(backend, wrong)
    with pytest.raises(Exists):
        Repository.init(backend, passphrase=THREE, cost=CHEAP)
    assert len(names(backend)) == 2


def test_the_keys_of_one_repository_do_not_open_another() -> None:
    """The same passphrase, and a key object put where it does not belong: by its name, or by its repository."""
    backend, _ = fresh()
    other, _ = fresh()
    [mine], [theirs] = names(backend), names(other)
    for name in (theirs, KEYS + "0" * 32):
        copy = copied(backend)
        change(copy, name, other.get(theirs).data if name == theirs else backend.get(mine).data)
        assert Repository.open(copy, ONE).key_id == mine.removeprefix(KEYS)
        assert [damage.object for damage in verify(Repository.open(copy, ONE)).damaged] == [name]
        copy.delete(mine)
        with pytest.raises(WrongKey, match="no key of its own" if name == theirs else "opens no key"):
            Repository.open(copy, ONE)
        copy.delete(name)
        with pytest.raises(WrongKey, match="no key of its own"):
            Repository.open(copy, ONE)


def test_a_plain_repository_in_place_of_an_encrypted_one_is_refused() -> None:
    plain = MemoryBackend()
    Repository.init(plain)
    with pytest.raises(WrongKey, match="is not encrypted, and a passphrase was given"):
        Repository.open(plain, ONE)
    assert Repository.open(plain, lambda: ONE).key_id == "", "who is only asked if need be says nothing of it"
    for call in (lambda one: key_add(one, ONE), key_list, lambda one: key_remove(one, "ab")):
        with pytest.raises(Invalid, match="not encrypted"):
            call(Repository.open(plain))


def test_the_last_key_stays() -> None:
    backend, repository = fresh()
    with pytest.raises(Invalid, match="the one that opened"):
        key_remove(repository, repository.key_id)
    with pytest.raises(Invalid, match="the last one"):
        keyring.remove(backend, repository.seal, repository.key_id)
    assert [key.is_leaving for key in key_list(repository) if isinstance(key, Key)] == [False]
    added = key_add(repository, TWO, cost=CHEAP)
    key_remove(Repository.open(backend, TWO), repository.key_id)
    assert names(backend) == [KEYS + added.id]
    assert not opens(backend, ONE)
    with pytest.raises(Invalid, match="empty passphrase"):
        key_add(Repository.open(backend, TWO), b"", cost=CHEAP)


def test_two_removals_at_once_leave_a_key() -> None:
    """Each removes the other's key, and begins at every storage call of the other."""
    start, repository = fresh()
    key_add(repository, TWO, cost=CHEAP)
    first, second = (Repository.open(start, one).key_id for one in (ONE, TWO))

    def removing(backend: Backend, key_id: str) -> None:
        with suppress(Invalid, Conflict):
            keyring.remove(backend, repository.seal, key_id)

    calls = Points(copied(start))
    removing(calls, first)
    for at in range(calls.calls):
        backend = copied(start)
        removing(Points(backend, at, before=lambda: removing(backend, second)), first)  # noqa: B023  # called at once
        assert names(backend)
        assert opens(backend, ONE) or opens(backend, TWO)
        assert verify(Repository.open(backend, ONE if opens(backend, ONE) else TWO)).damaged == ()


def adding(repository: Repository) -> None:
    key_add(repository, THREE, cost=CHEAP)


def changing(repository: Repository) -> None:
    key_passwd(repository, THREE, cost=CHEAP)


def removing_two(repository: Repository) -> None:
    for name in names(repository.backend):
        if name != KEYS + repository.key_id:
            key_remove(repository, name.removeprefix(KEYS))


@pytest.mark.parametrize("operation", [adding, changing, removing_two])
def test_a_crash_at_any_storage_call_leaves_the_repository_open_to_a_key(
    operation: Callable[[Repository], None],
) -> None:
    start, repository = fresh()
    key_add(repository, TWO, cost=CHEAP)
    counting = Points(copied(start))
    operation(Repository.open(counting, ONE))
    assert counting.calls > 3
    for at in range(counting.calls):
        for moment in ("before", "after"):
            backend = copied(start)
            with suppress(SnapstoreError):
                operation(Repository.open(Points(backend, at, **{moment: crash}), ONE))  # type: ignore[arg-type]
            working = [one for one in (ONE, TWO, THREE) if opens(backend, one)]
            assert ONE in working or THREE in working
            assert TWO in working or operation is removing_two
            again = Repository.open(backend, working[0])
            assert verify(again).damaged == ()
            operation(again)
            assert opens(backend, THREE) == (operation is not removing_two)
            assert len(names(backend)) <= 4


def test_a_crash_of_init_can_be_begun_again() -> None:
    counting = Points(MemoryBackend())
    Repository.init(counting, passphrase=ONE, cost=CHEAP)
    for at in range(counting.calls):
        for moment in ("before", "after"):
            backend = MemoryBackend()
            with suppress(SnapstoreError):
                Repository.init(Points(backend, at, **{moment: crash}), passphrase=ONE, cost=CHEAP)  # type: ignore[arg-type]
            with suppress(Exists):
                Repository.init(backend, passphrase=ONE, cost=CHEAP)
            assert verify(Repository.open(backend, ONE)).damaged == ()
            assert len(names(backend)) == 1


def test_another_passphrase_in_place_of_one() -> None:
    backend, repository = fresh()
    key_add(repository, TWO, label="kept", cost=CHEAP)
    changed = key_passwd(repository, THREE, cost=CHEAP)
    assert repository.key_id == changed.id == Repository.open(backend, THREE).key_id
    assert [opens(backend, one) for one in (ONE, TWO, THREE)] == [False, True, True]


def test_a_removed_key_that_is_back_is_found() -> None:
    backend, repository = fresh()
    [name] = names(backend)
    old = backend.get(name).data
    key_passwd(repository, TWO, cost=CHEAP)
    later = key_add(Repository.open(backend, TWO), THREE, cost=CHEAP)
    change(backend, name, old)
    [damage] = verify(Repository.open(backend, TWO)).damaged
    assert damage.object == name
    assert "put it back" in damage.reason
    backend.delete(KEYS + Repository.open(backend, TWO).key_id)
    assert [one.object for one in verify(Repository.open(backend, THREE)).damaged] == [name], "a later key knows too"
    assert later.id == Repository.open(backend, THREE).key_id


def test_every_changed_byte_of_keys_and_config_is_found_and_named() -> None:
    start, repository = fresh()
    key_add(repository, TWO, cost=CHEAP)
    own = KEYS + repository.key_id
    [other] = [name for name in names(start) if name != own]
    for name in (own, other, "config"):
        data = start.get(name).data
        for at in range(len(data)):
            changed = bytearray(data)
            changed[at] ^= 1 << at % 8
            backend = copied(start)
            change(backend, name, bytes(changed))
            if name != other:
                with pytest.raises((Corrupt, Unsupported), match=name):
                    Repository.open(backend, ONE)
            damaged = verify(repository.over(backend)).damaged
            assert [damage.object for damage in damaged] == [name], at


def test_a_config_that_was_changed_by_somebody_without_a_key_is_found() -> None:
    backend, _ = fresh()
    config = backend.get("config").data
    forged = config[:-32].replace(b"snapstore 0", b"snapstore 9")
    assert forged != config[:-32]
    change(backend, "config", forged + digest(forged))
    with pytest.raises(Corrupt, match="somebody who has no key"):
        Repository.open(backend, ONE)


def test_a_junk_key_can_be_removed_and_hides_no_other() -> None:
    backend, repository = fresh()
    for junk in (KEYS + "0" * 32, KEYS + "f" * 32):
        backend.put(junk, [b"junk"])
        assert opens(backend, ONE)
        with pytest.raises(Corrupt, match=junk):
            Repository.open(backend, TWO)
        assert [damage.object for damage in verify(repository).damaged] == [junk]
        assert [type(key) for key in key_list(repository)] == [Key, Corrupt]
        key_remove(repository, junk.removeprefix(KEYS))
        assert not opens(backend, TWO)


@given(st.binary(max_size=80), st.dictionaries(st.sampled_from(FIELDS), junk), st.binary(max_size=60))
def test_a_key_of_junk_is_damaged_and_nothing_worse(head: bytes, fields: dict[str, object], about: bytes) -> None:
    backend, repository = fresh()
    [own] = names(backend)
    for front in (head, msgpack.packb(fields)):
        body = len(front).to_bytes(2, "little") + front + about
        for data in (checked("K", 2, body), checked("K", 2, body[:-1]), checked("K", 1, body), body):
            change(backend, KEYS + "0" * 32, data)
            assert opens(backend, ONE)
            with pytest.raises(Corrupt, match="0" * 32):
                Repository.open(backend, TWO)
            assert [type(key) for key in key_list(repository)] == [Key, Corrupt]
    assert names(backend) == sorted([own, KEYS + "0" * 32])


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, _ = fresh()
    monkeypatch.setitem(sys.modules, "snapstore.encryption", None)
    with pytest.raises(Unsupported, match="cryptography") as caught:
        Repository.open(backend, ONE)
    assert "snapstore[encryption]" in caught.value.hint


class Flipping(MemoryBackend):
    """A store that keeps keys with one bit flipped, once `is_bad`."""

    is_bad = False

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        data = bytearray(b"".join(parts))
        if self.is_bad and name.startswith(KEYS):
            data[len(data) // 2] ^= 1
        return super().put(name, [bytes(data)], unique=unique)


def test_the_old_key_stays_where_the_new_one_was_not_stored_as_written() -> None:
    backend = Flipping()
    repository = Repository.init(backend, passphrase=ONE, cost=CHEAP)
    [old], backend.is_bad = names(backend), True
    with pytest.raises(Corrupt, match="not stored as it was written"):
        key_passwd(repository, TWO, cost=CHEAP)
    assert names(backend) == [old]
    assert opens(backend, ONE)


def test_the_old_key_stays_where_the_new_one_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, repository = fresh()
    [old], wrap = names(backend), encryption.wrap
    monkeypatch.setattr(encryption, "wrap", lambda master, *rest: wrap(bytes(len(master)), *rest))
    with pytest.raises(Corrupt, match="not stored as it was written"):
        key_passwd(repository, TWO, cost=CHEAP)
    assert names(backend) == [old]
    assert opens(backend, ONE)
