from __future__ import annotations

import pytest

from snapstore.backends import Backend
from snapstore.backends.memory import MemoryBackend
from tests.backends.contract import BackendContract


class TestMemory(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return MemoryBackend()
