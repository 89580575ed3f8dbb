"""An application with a SQLite file, for tests of what is held and how it comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sources.sqlite.agent import Agent


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path / "agent.db")
