"""An application with a Qdrant of each kind, for tests of what is held and how it comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.qdrant.agent import Agent, unsynced
from tests.sources.qdrant.server import Server


@pytest.fixture(autouse=True)
def _unsynced() -> Iterator[None]:
    with unsynced():
        yield


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of this test alone; whatever it had to refuse fails the test."""
    with Server() as running:
        yield running
    assert not running.refused


@pytest.fixture(params=["local mode", "server"])
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> Agent:
    if request.param == "local mode":
        return Agent(f"qdrant+path://{tmp_path}/store")
    return Agent(request.getfixturevalue("server").url)


@pytest.fixture
def remote(server: Server) -> Agent:
    """An application with the server."""
    return Agent(server.url)
