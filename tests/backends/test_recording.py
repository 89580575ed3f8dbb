from __future__ import annotations

import pytest

from snapstore.backends import Backend
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import Call, RecordingBackend
from snapstore.errors import NotFound
from tests.backends.contract import BackendContract


class TestRecording(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return RecordingBackend(MemoryBackend())


def test_every_call_is_logged_with_the_bytes_it_moved() -> None:
    backend = RecordingBackend(MemoryBackend())
    tag = backend.put("index/a", [b"abc", b"de"])
    backend.get_range("index/a", 1, 3)
    backend.replace("index/a", b"xyz", tag=tag)
    with pytest.raises(NotFound):
        backend.get("index/b")
    list(backend.list("index/"))
    backend.delete("index/a")
    assert list(backend.calls) == [
        Call("put", "index/a", 5),
        Call("get_range", "index/a", 3),
        Call("replace", "index/a", 3),
        Call("get", "index/b"),
        Call("list", "index/"),
        Call("delete", "index/a"),
    ]
    assert (backend.bytes_written, backend.bytes_read) == (8, 3)
    assert backend.count("get", "get_range") == 2
    assert backend.count(prefix="index/a") == 4
    backend.reset()
    assert backend.count() == 0
