"""What an operation asks of its store: few calls, and no more of them for more rows or snapshots.

In a bucket each is a request. The table of docs/cloud.md is made here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from snapstore.backends.cachefolder import CacheFolder
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs.sweep import fold
from snapstore.operations.diff import diff
from snapstore.operations.gc import gc
from snapstore.operations.plan import Mode
from snapstore.operations.state import of_snapshot
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from tests.operations.sample import PASSPHRASE, init, reopen, rows
from tests.operations.sample import take as take_sample
from tests.operations.world import World

WARM, FRESH = 25, 150
SNAPSHOTS = 100
CLOUD = Path(__file__).parent.parent.parent / "docs" / "cloud.md"


class Store:
    """A store whose calls are counted as a bucket's requests: a deletion asks first whether the object is there."""

    def __init__(self, folder: Path, *, encrypted: bool) -> None:
        self.backend = MemoryBackend()
        self.folder = folder
        self.recording = RecordingBackend(self.backend)
        self.fresh = 0
        init(self.recording, encrypted=encrypted)

    @property
    def requests(self) -> int:
        return len(self.recording.calls) + self.recording.count("delete")

    def opened(self, machine: str = "warm", *, caches: bool = True) -> Repository:
        self.recording.reset()
        cache = CacheFolder(self.folder / machine, limit_bytes=1 << 30) if caches else None
        return Repository.open(self.recording, lambda: PASSPHRASE, cache=cache)

    def fill(self, snapshots: int) -> None:
        """So many takes of another source, from other machines."""
        repository = reopen(self.backend)
        for number in range(snapshots):
            one = take_sample(repository, rows(range(4), seed=number), at=number, name="others")
            repository._seen = [one]  # as whoever has read all, of which this one has seen the others
            fold(repository.blobs)
        self.age()

    def age(self) -> None:
        """Everything so far was written an hour ago, however fast this machine is."""
        for name, (data, modified) in self.backend._objects.items():
            self.backend._objects[name] = (data, modified - 3600)

    def anew(self, *, caches: bool = True) -> Repository:
        """As a machine that has never seen the repository."""
        self.fresh += 1
        return self.opened(f"fresh {self.fresh}", caches=caches)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_an_operation_makes_few_requests_also_where_there_are_a_hundred_snapshots(
    databases: Callable[..., str], tmp_path: Path, encrypted: bool
) -> None:
    store = Store(tmp_path, encrypted=encrypted)
    told: dict[str, int] = {"`init`": store.requests}
    url = databases()
    World(store.opened(), url).run(
        "CREATE TABLE t (id int PRIMARY KEY, said text, heat real, embedding bytea);"
        "INSERT INTO t SELECT n, md5(n::text), n, decode(repeat(md5(n::text), 60), 'hex') "
        "FROM generate_series(1, 2000) n"
    )

    def change(number: int) -> None:
        World(store.opened(), url).run(
            "UPDATE t SET said = %s || id, embedding = decode(repeat(md5(%s || id), 60), 'hex') WHERE id %% 20 = %s",
            str(number), str(number), number % 20,
        )  # fmt: skip

    def take(repository: Repository, *, full: bool = False) -> int:
        snapshot = World(repository, url).take()
        assert snapshot.sources[0].tables[0].reading.startswith("in full" if full else "by stamps")
        return store.requests

    told["first `take`"] = take(store.opened(), full=True)
    change(0)
    told["`take` of 100 changed rows, 1 snapshot"] = take(store.opened())
    store.fill(SNAPSHOTS - 8)
    take(store.opened())
    most = 0
    for number in range(1, 5):
        change(number)
        most = max(most, take(store.opened()))
    assert most <= WARM
    told["... 100 snapshots, at most"] = most
    change(SNAPSHOTS)
    told["... on a fresh machine"] = take(store.anew())
    change(SNAPSHOTS + 1)
    told["... there without a cache"] = take(store.anew(caches=False))
    assert told["... on a fresh machine"] <= FRESH
    World(store.opened(), url).take()
    told["`take` of nothing new"] = store.requests
    repository = store.opened()
    newest, older = repository.snapshots()[-1], repository.snapshots()[-3]
    repository = store.opened()
    repository.snapshots()
    list(diff(of_snapshot(repository, older), of_snapshot(repository, newest)))
    told["`diff` of two snapshots"] = store.requests
    World(store.opened(), url).restore(older, Mode.UPDATE)
    told["`restore` of 100 rows"] = store.requests
    gc(store.opened())
    gc(store.opened())
    told["`gc` with nothing to do"] = store.requests
    verify(store.opened())
    told["`verify`"] = store.requests
    _is_documented("encrypted" if encrypted else "plain", told)


def _is_documented(kind: str, told: dict[str, int]) -> None:
    """The table in docs/cloud.md says what was counted; how reads fall together varies by a few from run to run."""
    lines = re.findall(r"^\| (.+?) \| (\d+) \| (\d+) \|$", CLOUD.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name: int(plain if kind == "plain" else encrypted) for name, plain, encrypted in lines}
    assert documented.keys() == told.keys(), f"docs/cloud.md lacks the counts of {kind}: {told}"
    for name, count in told.items():
        assert abs(documented[name] - count) <= max(3, count // 10), f"docs/cloud.md, {kind}: {told}"


def test_few_manifests_serve_a_take(databases: Callable[..., str], tmp_path: Path) -> None:
    """Of a plain repository a take reads the manifests that may be its parent, and no more."""
    store = Store(tmp_path, encrypted=False)
    store.fill(40)
    world = World(store.opened(), databases())
    world.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 50)")
    world.take()
    for entry in store.backend.list("snapshots/"):
        data, modified = store.backend._objects[entry.name]
        store.backend._objects[entry.name] = (data, modified - 3600 * (1 + (modified < time.time() - 1)))
    world.take()
    World(store.anew(caches=False), world.url).take()
    # Its own two (once more the parent, when it has announced itself), and those of the last two seconds.
    assert store.recording.count("get", prefix="snapshots/") <= 4
