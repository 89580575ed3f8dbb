"""A folder under several processes at once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from snapstore.backends.directory import DirectoryBackend
from snapstore.errors import Conflict, Exists

_SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "store"


@pytest.fixture
def backend(root: Path) -> DirectoryBackend:
    return DirectoryBackend(root, create=True)


def test_one_of_many_processes_wins_each_name(root: Path, backend: DirectoryBackend) -> None:
    results = _race(_put_all, root, 4)
    for name in _NAMES:
        winners = [number for number, won in results if name in won]
        assert len(winners) == 1
        assert backend.get(name).data == str(winners[0]).encode()
    assert list(backend.stray()) == []


def test_processes_that_replace_lose_no_change_and_listings_miss_no_name(root: Path, backend: DirectoryBackend) -> None:
    for name in _NAMES:
        backend.put(name, [b"0"])
    results = _race(_count_up, root, 4)
    assert [missed for _, missed in results] == [[]] * 4
    assert sum(int(backend.get(name).data) for name in _NAMES) == 4 * len(_NAMES)


_NAMES = [f"snapshots/{number:02x}" for number in range(24)]


def _put_all(root: Path, number: int) -> list[str]:
    backend, won = DirectoryBackend(root), []
    for name in _NAMES:
        try:
            backend.put(name, [str(number).encode()])
        except Exists:
            continue
        won.append(name)
    return won


def _count_up(root: Path, number: int) -> list[str]:
    backend, missed = DirectoryBackend(root), set[str]()
    for name in _NAMES[number:] + _NAMES[:number]:
        while True:
            missed |= set(_NAMES) - {entry.name for entry in backend.list("snapshots/")}
            stored = backend.get(name)
            try:
                backend.replace(name, str(int(stored.data) + 1).encode(), tag=stored.tag)
                break
            except Conflict:
                continue
    return sorted(missed)


def _race(work: object, root: Path, count: int) -> list[tuple[int, list[str]]]:
    with _SPAWN.Pool(count) as pool:
        results = pool.starmap(_call, [(work, root, number) for number in range(count)], chunksize=1)
        pool.close()
        pool.join()
    return results


def _call(work: object, root: Path, number: int) -> tuple[int, list[str]]:
    assert callable(work)
    return number, work(root, number)
