"""Writes that wait their turn, by a clock of the test's own."""

from __future__ import annotations

import pytest

from snapstore.backends import Backend
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.throttled import ThrottledBackend
from snapstore.errors import Invalid
from tests.backends.contract import BackendContract


class TestThrottled(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return ThrottledBackend(MemoryBackend(), bytes_per_second=1 << 40)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_writing_takes_as_long_as_is_allowed() -> None:
    clock = Clock()
    backend = ThrottledBackend(MemoryBackend(), bytes_per_second=1000, clock=clock, sleep=clock.sleep)
    backend.put("packs/a", [bytes(600), bytes(400)])
    assert clock.now == 100.0, "a second's worth goes at once"
    tag = backend.put("snapshots/b", [bytes(5000)])
    assert clock.now == 105.0
    backend.replace("snapshots/b", bytes(500), tag=tag)
    assert clock.now == 105.5
    clock.now += 60
    backend.put("packs/c", [bytes(3000)])
    assert clock.now == 167.5, "what was not used is not saved up beyond a second"
    backend.get("packs/c")
    backend.delete("packs/c")
    assert clock.now == 167.5


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(Invalid):
        ThrottledBackend(MemoryBackend(), bytes_per_second=0)
