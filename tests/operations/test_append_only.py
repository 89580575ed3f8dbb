"""Credentials that cannot delete, or cannot write over what is there, are enough for all but collecting garbage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snapstore.backends import Backend
from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Unavailable
from snapstore.operations.forget import pin, rm
from snapstore.operations.gc import gc
from snapstore.operations.plan import Mode
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from snapstore.repository.manifest import decode
from snapstore.repository.snapshot import COMMITTED
from tests.operations.points import Result, Wrapped
from tests.operations.sample import init, objects, read, reopen, rows, take
from tests.operations.world import World


class NoDeletes(Wrapped):
    """A role that may not delete, as a policy of a bucket says it."""

    def _call(self, verb: str, name: str, call: Callable[[], Result]) -> Result:
        if verb == "delete":
            raise Unavailable(f"{name}: 403 AccessDenied", hint="Check the credentials, and what they may do there.")
        return call()


class NoOverwrites(NoDeletes):
    """Nor write over anything but what is pending."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.seal = reopen(inner).seal

    def _call(self, verb: str, name: str, call: Callable[[], Result]) -> Result:
        if verb == "replace" and decode(self.inner.get(name).data, name, self.seal).state == COMMITTED:
            raise Unavailable(f"{name}: 403 AccessDenied")
        return super()._call(verb, name, call)


@pytest.mark.parametrize(("role", "encrypted"), [(NoDeletes, True), (NoOverwrites, False)])
def test_whoever_may_not_delete_can_take_restore_and_verify(
    role: type[NoDeletes], encrypted: bool, databases: Callable[..., str]
) -> None:
    memory = MemoryBackend()
    init(NoDeletes(memory), encrypted=encrypted)

    def opened() -> Repository:
        return reopen(role(memory))

    world = World(opened(), databases())
    world.run(
        "CREATE TABLE t (id int PRIMARY KEY, said text); INSERT INTO t SELECT n, 'said' FROM generate_series(1, 90) n"
    )
    first = world.take()
    for number in range(16):  # beyond the number of segments at which a take would fold some
        take(opened(), rows([number]), at=number, name="others")
    world.run("UPDATE t SET said = 'other' WHERE id = 7")
    World(opened(), world.url).take()
    assert len(objects(memory, "index/")) == 18, "nothing is put together that could not be deleted"
    assert verify(opened(), read_data=True).damaged == ()
    plan = world.plan(first, Mode.UPDATE)
    world.restore(first, Mode.UPDATE, plan_id=plan.id)
    assert world.value("SELECT count(*) FROM t WHERE said = 'said'") == 90
    assert world.restore(first, Mode.UPDATE).safety is None
    assert opened().pendings() == []
    ended = len(objects(memory, "snapshots/")) - len(opened().snapshots())
    assert ended > 0, "they could not be deleted"
    for refused in (lambda: rm(opened(), [first.id]), lambda: gc(opened())):
        with pytest.raises(Unavailable, match="AccessDenied"):
            refused()
    # Another role collects, and finds nothing to wait for.
    assert gc(reopen(memory)).waiting == ()
    assert len(objects(memory, "snapshots/")) == len(opened().snapshots()) == 19
    assert len(objects(memory, "index/")) <= 13
    assert verify(opened(), read_data=True).damaged == ()


def test_words_of_a_snapshot_can_be_changed_by_whoever_may_write_over_it() -> None:
    memory = MemoryBackend()
    init(memory, encrypted=False)
    held = rows(range(20))
    snapshot = take(reopen(NoOverwrites(memory)), held)
    with pytest.raises(Unavailable, match="AccessDenied"):
        pin(reopen(NoOverwrites(memory)), snapshot.id)
    assert pin(reopen(NoDeletes(memory)), snapshot.id).pinned
    assert read(reopen(memory), snapshot)["public.memories"] == held
