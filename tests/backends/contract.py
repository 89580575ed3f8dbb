"""What every backend must do: `class TestX(BackendContract)` with a fixture `backend`."""

from __future__ import annotations

import threading

import pytest

from snapstore.backends import Backend
from snapstore.errors import Conflict, Corrupt, Exists, Invalid, NotFound
from snapstore.operations.gc import gc
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from tests.operations.sample import read, rows, take

ID = "0123456789abcdef" * 2


def repository_lives_in(made: Backend, opened: Backend) -> None:
    """A repository that is made in a place by one backend is read, verified and emptied by another."""
    held = rows(range(50), elements=140)
    snapshot = take(Repository.init(made), held)
    again = Repository.open(opened)
    assert read(again, snapshot)["public.memories"] == held
    assert verify(again, read_data=True).damaged == ()
    again.remove(snapshot.id)
    gc(again)
    assert not list(again.backend.list("packs/"))


class BackendContract:
    def test_an_object_is_the_parts_it_was_put_in(self, backend: Backend) -> None:
        backend.put(f"packs/01/{ID}", [b"ab", bytearray(b"cd"), memoryview(b"ef"), b""], unique=True)
        assert backend.get(f"packs/01/{ID}").data == b"abcdef"

    def test_an_object_of_many_parts_is_whole(self, backend: Backend) -> None:
        parts = [bytes([number % 251]) * (number % 7) for number in range(5000)]
        backend.put("index/many", parts)
        assert backend.get("index/many").data == b"".join(parts)

    def test_an_object_may_be_empty(self, backend: Backend) -> None:
        backend.put("config", [])
        assert backend.get("config").data == b""
        assert backend.get_range("config", 0, 0) == b""
        assert [entry.size_bytes for entry in backend.list()] == [0]

    def test_put_gives_the_tag_that_get_gives(self, backend: Backend) -> None:
        tag = backend.put("snapshots/a", [b"on", b"e"])
        assert backend.get("snapshots/a").tag == tag

    def test_a_listing_gives_the_tag_that_get_gives_or_none(self, backend: Backend) -> None:
        tag = backend.put("snapshots/a", [b"one"])
        assert next(backend.list("snapshots/")).tag in ("", tag)
        tag = backend.replace("snapshots/a", b"two", tag=tag)
        assert next(backend.list("snapshots/")).tag in ("", tag)

    @pytest.mark.parametrize("unique", [False, True])
    def test_put_leaves_a_taken_name_alone(self, backend: Backend, unique: bool) -> None:
        backend.put("snapshots/a", [b"one"])
        with pytest.raises(Exists, match="snapshots/a"):
            backend.put("snapshots/a", [b"two"])
        assert backend.get("snapshots/a").data == b"one"

    def test_a_range_is_exact(self, backend: Backend) -> None:
        backend.put("index/a", [b"0123456789"])
        assert backend.get_range("index/a", 3, 4) == b"3456"
        assert backend.get_range("index/a", 0, 10) == b"0123456789"

    @pytest.mark.parametrize(("offset", "length"), [(0, 11), (9, 2), (10, 1), (11, 0), (1 << 60, 4)])
    def test_a_range_beyond_the_end_is_damage_by_name(self, backend: Backend, offset: int, length: int) -> None:
        backend.put("index/a", [b"0123456789"])
        with pytest.raises(Corrupt, match="index/a"):
            backend.get_range("index/a", offset, length)

    def test_what_is_not_there_is_not_found_by_name(self, backend: Backend) -> None:
        backend.put("index/a", [b"x"])
        for name in ("index/b", "index", "index/a/b", "nowhere/c"):
            for call in (
                lambda name=name: backend.get(name),
                lambda name=name: backend.get_range(name, 0, 1),
                lambda name=name: backend.replace(name, b"", tag="x"),
                lambda name=name: backend.delete(name),
            ):
                with pytest.raises(NotFound, match=name):
                    call()

    def test_replace_changes_the_version_it_was_given(self, backend: Backend) -> None:
        first = backend.put("snapshots/a", [b"one"])
        second = backend.replace("snapshots/a", b"two", tag=first)
        assert backend.get("snapshots/a").data == b"two"
        assert backend.get("snapshots/a").tag == second != first

    def test_replace_refuses_another_version(self, backend: Backend) -> None:
        first = backend.put("snapshots/a", [b"one"])
        backend.replace("snapshots/a", b"two", tag=first)
        with pytest.raises(Conflict, match="snapshots/a"):
            backend.replace("snapshots/a", b"three", tag=first)
        assert backend.get("snapshots/a").data == b"two"

    def test_list_gives_names_in_order_that_start_with_the_prefix(self, backend: Backend) -> None:
        names = [
            "config",
            "index/b",
            "index/a",
            "packs/ab/abc",
            "packs/cd/cde",
            "snapshots/a",
            "snapshots/ab",
            "a.b",
            "a/b",
        ]
        for name in names:
            backend.put(name, [name.encode()])
        assert [entry.name for entry in backend.list()] == sorted(names)
        assert [entry.name for entry in backend.list("packs/")] == ["packs/ab/abc", "packs/cd/cde"]
        assert [entry.name for entry in backend.list("snapshots/ab")] == ["snapshots/ab"]
        assert [entry.name for entry in backend.list("snap")] == ["snapshots/a", "snapshots/ab"]
        assert list(backend.list("condemned/")) == []
        assert all(entry.size_bytes == len(entry.name) and entry.modified > 1e9 for entry in backend.list())

    def test_list_may_be_begun_before_a_change(self, backend: Backend) -> None:
        tag = backend.put("snapshots/a", [b"x"])
        backend.put("snapshots/b", [b"x"])
        listing = backend.list("snapshots/")
        assert next(listing).name == "snapshots/a"
        backend.replace("snapshots/a", b"y", tag=tag)
        backend.delete("snapshots/b")

    def test_a_deleted_object_is_gone_and_its_name_free(self, backend: Backend) -> None:
        backend.put("snapshots/a", [b"one"])
        backend.delete("snapshots/a")
        assert list(backend.list()) == []
        with pytest.raises(NotFound, match="snapshots/a"):
            backend.get("snapshots/a")
        backend.put("snapshots/a", [b"two"])
        assert backend.get("snapshots/a").data == b"two"

    @pytest.mark.parametrize(
        "name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.b", "A", "a b", "ä", "a" * 201]
    )
    def test_names_outside_the_store_are_refused(self, backend: Backend, name: str) -> None:
        with pytest.raises(Invalid):
            backend.get(name)
        with pytest.raises(Invalid):
            backend.put(name, [b""])
        with pytest.raises(Invalid):
            backend.get_range(name, 0, 1)
        with pytest.raises(Invalid):
            backend.replace(name, b"", tag="")
        with pytest.raises(Invalid):
            backend.delete(name)

    def test_one_of_many_threads_wins_a_name(self, backend: Backend) -> None:
        won: list[int] = []

        def put(number: int) -> None:
            try:
                backend.put("snapshots/a", [str(number).encode()])
            except Exists:
                return
            won.append(number)

        _together(put, 8)
        assert [str(number).encode() for number in won] == [backend.get("snapshots/a").data]

    def test_threads_that_replace_lose_no_change(self, backend: Backend) -> None:
        backend.put("snapshots/a", [b"0"])

        def count(thread: int) -> None:
            for _ in range(10):
                while True:
                    stored = backend.get("snapshots/a")
                    number = int(stored.data.partition(b" ")[0]) + 1
                    try:
                        backend.replace("snapshots/a", f"{number} of {thread}".encode(), tag=stored.tag)
                        break
                    except Conflict:
                        continue

        _together(count, 4)
        assert backend.get("snapshots/a").data.startswith(b"40 ")


def _together(work: object, count: int) -> None:
    assert callable(work)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
