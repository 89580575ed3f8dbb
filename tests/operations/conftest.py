"""A world of its own for every test: an empty database and a repository in a folder or in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.memory import MemoryBackend
from snapstore.repository import Repository
from tests.operations.world import World


@pytest.fixture
def world(tmp_path: Path, databases: Callable[..., str]) -> World:
    """A repository in a folder."""
    backend = DirectoryBackend(tmp_path / "repository", create=True)
    return World(Repository.init(backend), databases())


@pytest.fixture
def small_world(databases: Callable[..., str]) -> World:
    """A repository in memory, where the store does not matter."""
    return World(Repository.init(MemoryBackend()), databases())
