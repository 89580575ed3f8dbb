"""A folder with a repository, and a database with some memories, for tests of the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import Snap, run

MEMORIES = """
CREATE TABLE memories (
    id integer PRIMARY KEY, content text NOT NULL, heat real NOT NULL, embedding vector(3), seen timestamptz
);
INSERT INTO memories SELECT n, 'memory number ' || n || ' of an agent that remembers', 1,
    ARRAY[n, 1, 0]::real[]::vector, '2026-01-01Z' FROM generate_series(1, 100) n;
CREATE TABLE visits (who text, day date, note text, PRIMARY KEY (who, day));
INSERT INTO visits VALUES ('ann', '2026-01-01', 'first'), ('bob, the builder', '2026-01-02', NULL);
"""


@pytest.fixture(autouse=True)
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where programs of this user keep what they did: not in the home of whoever runs the tests."""
    states = tmp_path.with_name(f"{tmp_path.name}-states")
    monkeypatch.setenv("XDG_STATE_HOME", str(states))
    return states / "snapstore"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def snap(folder: Path) -> Snap:
    """The command line in a folder that has a repository."""
    snap = Snap(folder)
    snap("init")
    return snap


@pytest.fixture
def url(databases: Callable[..., str]) -> str:
    """A database with a hundred memories with embeddings, and a table whose key has two columns."""
    url = databases(vector=True)
    run(url, MEMORIES)
    return url
