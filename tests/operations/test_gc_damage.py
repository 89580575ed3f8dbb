"""A blob lies in several packs, and one copy is damaged: gc relies on no copy that it has not read."""

from __future__ import annotations

from random import Random

import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Corrupt
from snapstore.operations.gc import gc
from snapstore.operations.heal import heal
from snapstore.operations.repair_index import repair_index
from snapstore.operations.verify import verify
from tests.operations.crowd import collecting, copied
from tests.operations.sample import init, objects, read, reopen, rows, take
from tests.operations.schedules import orders, random_order
from tests.soak import IS_SOAK

HELD = rows(range(40), elements=140)


def with_copies(count: int = 2, *, encrypted: bool = False) -> MemoryBackend:
    """The same rows, taken so many times by takes that did not see what the others wrote."""
    backend = MemoryBackend()
    init(backend, encrypted=encrypted)
    before = copied(backend)
    for at in range(count):
        alone = copied(before)
        take(reopen(alone), HELD, at=at)
        for name in objects(alone):
            if name not in objects(before):
                backend.put(name, [alone.get(name).data])
    return backend


def flipped(backend: MemoryBackend, name: str, at: float) -> MemoryBackend:
    """The same with one bit turned at this part of the object."""
    damaged = copied(backend)
    data = bytearray(damaged.get(name).data)
    data[int(len(data) * at)] ^= 1
    damaged.delete(name)
    damaged.put(name, [data])
    return damaged


def is_as_taken(backend: MemoryBackend) -> None:
    repository = reopen(backend)
    assert repository.snapshots()
    for snapshot in repository.snapshots():
        assert read(repository, snapshot)["public.memories"] == HELD


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("one_entry", [False, True])
def test_the_whole_copy_of_two_is_the_one_that_stays(encrypted: bool, one_entry: bool) -> None:
    sound = with_copies(encrypted=encrypted)
    if one_entry:  # an index that was rebuilt knows one copy of each blob
        for name in objects(sound, "index/"):
            sound.delete(name)
        repair_index(reopen(sound))
    for name in objects(sound, "packs/"):
        for at in (0.1, 0.6):
            backend = flipped(sound, name, at)
            for _ in range(3):  # one condemns, one finds the damage, and the last has nothing to do
                try:
                    gc(reopen(backend))
                except Corrupt:
                    assert one_entry
                    heal(reopen(backend))
                is_as_taken(backend)
            assert verify(reopen(backend), read_data=True).damaged == (), (name, at)
            assert one_entry or len(objects(backend, "packs/")) == 2, "values and trees"


def test_a_copy_that_was_to_stay_and_is_damaged_is_condemned_and_not_deleted_yet() -> None:
    """Whoever began to rely on it is waited for, as for any pack: the gc that finds the damage deletes others only."""
    sound = with_copies()
    for name in objects(sound, "packs/"):
        backend = flipped(sound, name, 0.3)
        before = objects(backend, "packs/")
        gc(reopen(backend))
        condemned = objects(backend, "condemned/")
        assert len(condemned) <= 1
        for tombstone in condemned:
            assert tombstone.rpartition("/")[2] == name.rpartition("/")[2]
            assert name in objects(backend)
        assert len(before.keys() - objects(backend).keys()) >= 2


def test_two_collections_at_once_leave_one_whole_copy_of_three() -> None:
    """Each may count on the copy that the other is about to delete."""
    sound = with_copies(3)
    operations = [collecting, collecting]
    for number, name in enumerate(objects(sound, "packs/")):
        start = flipped(sound, name, 0.3)
        lengths = [next(orders(operations, start, depth=0)).calls.count(at) for at in range(2)]
        for seed in range(400 if IS_SOAK else 2):
            order = random_order(operations, start, lengths, Random(1000 * number + seed))
            assert order.errors == ()
            is_as_taken(order.backend)
            for _ in range(2):
                gc(reopen(order.backend))
            assert verify(reopen(order.backend), read_data=True).damaged == ()
