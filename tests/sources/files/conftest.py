"""A folder of an agent's memory, for tests of what is held of files and how it comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sources.files.memory import Memory


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "memory")
