"""What a take asks of its store: few calls, and no more of them for more rows. In a bucket each is a request."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from tests.operations.sample import init, reopen
from tests.operations.world import World


@pytest.mark.parametrize(("encrypted", "most"), [(False, 24), (True, 28)])
def test_an_incremental_take_makes_few_calls(databases: Callable[..., str], encrypted: bool, most: int) -> None:
    """Without a cache: up to so many, and two for each snapshot there is (its manifest, its index segment)."""
    backend = MemoryBackend()
    world = World(init(backend, encrypted=encrypted), databases())
    world.run("CREATE TABLE t (id int PRIMARY KEY, said text, heat real)")
    world.run("INSERT INTO t SELECT n, md5(n::text) || md5((-n)::text), n FROM generate_series(1, 8000) n")
    world.take()
    for before in range(1, 4):
        world.run(f"UPDATE t SET said = 'changed {before}' WHERE id % 80 = {before}")
        recording = RecordingBackend(backend)
        again = World(reopen(recording), world.url)
        assert again.take().sources[0].tables[0].reading == "by stamps: 100 of 8,000 rows"
        assert len(recording.calls) <= most + 2 * before
