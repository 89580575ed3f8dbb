"""From a store that may only be read all comes out that is in it, and a gc that others run there is not overlooked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snapstore.backends import Backend
from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Conflict, Denied, Unavailable
from snapstore.operations.copy import copy
from snapstore.operations.forget import rm
from snapstore.operations.gc import gc
from snapstore.operations.heal import heal
from snapstore.operations.plan import Mode
from snapstore.operations.remedies import FromRepository
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from tests.operations.points import WRITES, Result, Wrapped
from tests.operations.sample import init, objects, read, reopen, rows, take
from tests.operations.world import World

HELD = rows(range(60))


class ReadsOnly(Wrapped):
    """Credentials that may only read, as a policy of a bucket says it."""

    def _call(self, verb: str, name: str, call: Callable[[], Result]) -> Result:
        if verb in WRITES:
            raise Denied(f"{name}: 403 AccessDenied")
        return call()


class SweptMeanwhile(ReadsOnly):
    """Before the first pack is read somebody else removes all snapshots, and collects."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.is_swept = False

    def _call(self, verb: str, name: str, call: Callable[[], Result]) -> Result:
        if verb in ("get", "get_range") and name.startswith("packs/") and not self.is_swept:
            self.is_swept = True
            others = reopen(self.inner)
            rm(others, [one.id for one in others.snapshots()])
            gc(others)
        return super()._call(verb, name, call)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("into_encrypted", [False, True])
def test_what_may_only_be_read_is_verified_and_copied(encrypted: bool, into_encrypted: bool) -> None:
    memory = MemoryBackend()
    snapshot = take(init(memory, encrypted=encrypted), HELD)
    before = objects(memory)
    source, target = reopen(ReadsOnly(memory)), init(MemoryBackend(), encrypted=into_encrypted)
    verified = verify(source, read_data=True)
    assert (verified.damaged, verified.snapshots, verified.is_protected) == ((), (snapshot.id,), False)
    [copied] = copy(source, target)
    assert (copied.is_new, copied.is_protected) == (True, False)
    assert read(target, copied.copy)["public.memories"] == HELD
    assert verify(target, read_data=True).is_protected
    assert objects(memory) == before


def test_a_copy_that_may_only_be_read_heals() -> None:
    memory, other = MemoryBackend(), MemoryBackend()
    snapshot = take(init(memory, encrypted=False), HELD)
    copy(reopen(memory), init(other, encrypted=True))
    for name in objects(memory, "packs/"):
        memory.delete(name)
    healed = heal(reopen(memory), [FromRepository(reopen(ReadsOnly(other)))])
    assert (bool(healed.healed), healed.left) == (True, ())
    assert read(reopen(memory), snapshot)["public.memories"] == HELD


@pytest.mark.parametrize(
    "work",
    [verify, lambda repository: copy(repository, init(MemoryBackend(), encrypted=False))],
    ids=["verify", "copy"],
)
def test_who_is_not_waited_for_says_so_and_finds_no_damage(work: Callable[[Repository], object]) -> None:
    memory = MemoryBackend()
    take(init(memory, encrypted=False), HELD)
    with pytest.raises(Conflict, match="a gc took packs away"):
        work(reopen(SweptMeanwhile(memory)))


def test_damage_is_damage_also_where_only_reading_is_allowed() -> None:
    memory = MemoryBackend()
    take(init(memory, encrypted=False), HELD)
    memory.delete(max(objects(memory, "packs/"), key=lambda name: objects(memory)[name]))
    verified = verify(reopen(ReadsOnly(memory)))
    assert any(one.snapshots for one in verified.damaged)


def test_a_store_that_is_full_or_out_of_reach_is_no_such_store() -> None:
    class Full(Wrapped):
        def _call(self, verb: str, name: str, call: Callable[[], Result]) -> Result:
            if verb in WRITES:
                raise Unavailable("no space left")
            return call()

    memory = MemoryBackend()
    take(init(memory, encrypted=False), HELD)
    for work in (verify, lambda repository: copy(repository, init(MemoryBackend(), encrypted=False))):
        with pytest.raises(Unavailable, match="no space left"):
            work(reopen(Full(memory)))


def test_what_may_only_be_read_is_restored_by_way_of_a_copy(small_world: World) -> None:
    world = small_world
    world.run(
        "CREATE TABLE t (id int PRIMARY KEY, said text); INSERT INTO t SELECT n, 'x' FROM generate_series(1, 9) n"
    )
    snapshot = world.take()
    world.run("DELETE FROM t WHERE id < 4")
    reading = World(reopen(ReadsOnly(world.repository.backend)), world.url)
    plan = reading.plan(snapshot, Mode.SKIP)
    assert plan.tables[0].insert == 3
    assert "snap copy" in plan.obstacle
    with pytest.raises(Denied, match="nothing was changed") as refused:
        reading.restore(snapshot, Mode.SKIP)
    assert f"snap copy {snapshot.id[:8]} --to PATH" in refused.value.hint
    assert reading.plan(snapshot, Mode.SKIP, trusted=False).obstacle.endswith("if you trust whoever can write here.")
    assert world.value("SELECT count(*) FROM t") == 6
    own = World(init(MemoryBackend(), encrypted=False), world.url)
    [copied] = copy(reading.repository, own.repository, [snapshot])
    assert own.plan(copied.copy, Mode.SKIP).obstacle == ""
    safety = own.restore(copied.copy, Mode.SKIP, plan_id=plan.id).safety
    assert world.value("SELECT count(*) FROM t") == 9
    own.undo(safety)
    assert world.value("SELECT count(*) FROM t") == 6
