"""What is written over a store is seen as if it were in it, and never is."""

from __future__ import annotations

import pytest

from snapstore.backends import Backend
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.overlay import OverlayBackend
from snapstore.errors import Conflict, Exists, NotFound
from tests.backends.contract import BackendContract


class TestOverlay(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return OverlayBackend(MemoryBackend(), MemoryBackend())


def test_what_is_under_it_stays_as_it_is() -> None:
    lower = MemoryBackend()
    tags = {name: lower.put(name, [name.encode()]) for name in ("a", "b", "c")}
    over = OverlayBackend(lower, MemoryBackend())
    with pytest.raises(Exists):
        over.put("a", [b"other"])
    with pytest.raises(Conflict):
        over.replace("a", b"other", tag="0")
    over.replace("a", b"other", tag=tags["a"])
    over.delete("b")
    over.put("d", [b"d"])
    assert [entry.name for entry in over.list()] == ["a", "c", "d"]
    assert (over.get("a").data, over.get_range("c", 0, 1)) == (b"other", b"c")
    for call in (over.get, over.delete):
        with pytest.raises(NotFound):
            call("b")
    over.put("b", [b"again"])
    assert over.get("b").data == b"again"
    over.delete("a")
    with pytest.raises(NotFound):
        over.get("a")
    assert {entry.name: lower.get(entry.name).data for entry in lower.list()} == {"a": b"a", "b": b"b", "c": b"c"}
