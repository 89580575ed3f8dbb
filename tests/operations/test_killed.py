"""Real processes on a real folder, killed at random moments: what was committed is whole, and the rest is garbage."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random

from snapstore.backends.directory import DirectoryBackend
from snapstore.operations.forget import rm
from snapstore.operations.gc import gc
from snapstore.repository import Repository
from tests.operations.crowd import everything_is_well, repository_with_garbage
from tests.soak import IS_SOAK

ROUNDS = 500 if IS_SOAK else 4
ROOT = Path(__file__).parents[2]


def test_killed_takes_and_collections_lose_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    backend = DirectoryBackend(folder, create=True)
    start = repository_with_garbage()
    for entry in start.list():
        backend.put(entry.name, [start.get(entry.name).data])
    random = Random(1)
    for round_ in range(ROUNDS):
        processes = [_started(folder, 2 * round_ + number) for number in range(2)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        time.sleep(random.uniform(0, 0.6))
        told = {snapshot_id for process in processes for snapshot_id in _killed(process)}
        everything_is_well(backend)
        repository = Repository.open(backend)
        there = [snapshot.id for snapshot in repository.snapshots()]
        assert told <= set(there)
        rm(repository, there[:-3])  # so that there is something to collect
    gc(Repository.open(backend), stale_seconds=-1)
    everything_is_well(backend)


def _started(folder: Path, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.operations.killed", str(folder), str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def _killed(process: subprocess.Popen[str]) -> list[str]:
    """Kill it; the snapshots that it said it had committed."""
    process.kill()
    output, errors = process.communicate()
    assert errors == ""
    return [words[1] for line in output.splitlines() if len(words := line.split()) == 2]
