"""A store in one file: what is put is got, it never changes, and a file that no writer wrote is refused."""

from __future__ import annotations

import re
from pathlib import Path

import msgpack
import pytest
from blake3 import blake3

from snapstore.backends.bundle import BundleFile, BundleWriter
from snapstore.errors import Conflict, Corrupt, Exists, NotFound, Unavailable, Unsupported

ID = "ab" * 16
PACK = f"packs/ab/{ID}"


def test_what_is_put_is_got_before_and_after_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.snap"
    with BundleWriter(path) as writer:
        tag = writer.put(f"snapshots/{ID}", [b"pending"])
        writer.put(PACK, [b"one", memoryview(b"two"), b""], unique=True)
        writer.put(f"index/{ID}", [b""])
        writer.put(f"keys/{ID}", [b"gone"])
        writer.delete(f"keys/{ID}")
        with pytest.raises(Conflict):
            writer.replace(f"snapshots/{ID}", b"other", tag="x")
        writer.replace(f"snapshots/{ID}", b"committed", tag=tag)
        assert (writer.get(PACK).data, writer.get_range(PACK, 2, 3)) == (b"onetwo", b"etw")
        names = [entry.name for entry in writer.list()]
        assert not path.exists()
        assert writer.finish([(ID, ID)]) == path.stat().st_size
    with BundleFile(path) as file:
        file.check()
        assert [entry.name for entry in file.list()] == names == [f"index/{ID}", PACK, f"snapshots/{ID}"]
        assert [file.get(name).data for name in names] == [b"", b"onetwo", b"committed"]
        assert file.get_range(PACK, 2, 3) == b"etw"
        assert [entry.size_bytes for entry in file.list("packs/")] == [6]
        assert file.since == ((ID, ID),)
        with pytest.raises(Corrupt, match="too short"):
            file.get_range(PACK, 4, 3)
        with pytest.raises(NotFound):
            file.get("config")
        for change in (
            lambda: file.put("config", [b""]),
            lambda: file.replace(PACK, b"", tag=""),
            lambda: file.delete(PACK),
        ):
            with pytest.raises(Unsupported, match="never changes"):
                change()
    assert [one.name for one in tmp_path.iterdir()] == ["a.snap"]


def test_without_finish_nothing_stays_and_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.snap"
    with BundleWriter(path) as writer:
        writer.put(PACK, [b"x"], unique=True)
    assert list(tmp_path.iterdir()) == []
    with BundleWriter(path) as writer:
        path.write_bytes(b"mine")
        with pytest.raises(Exists):
            writer.finish([])
    with pytest.raises(Exists):
        BundleWriter(path)
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"mine"]
    with pytest.raises(Unavailable, match="directory"):
        BundleFile(tmp_path)


HOSTILE = ["../x", "/etc/passwd", "packs/../../x", "snapshots/..", "config/", "LOCK", "condemned/" + "0" * 32, 7, None]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bundle_with_a_name_that_no_repository_has_is_refused(tmp_path: Path, name: object) -> None:
    path = forged(tmp_path, objects=[[name, 4, blake3(b"evil").digest()]])
    with pytest.raises(Corrupt, match=re.escape(f"an object is called {name!r}")):
        BundleFile(path)


FORGED: list[dict[str, object]] = [
    {"objects": [["config", 4, blake3(b"evil").digest()]] * 2},
    {"objects": [["config", -4, bytes(32)]]},
    {"objects": [["config", 5, bytes(32)]]},
    {"objects": [["config", 4, bytes(31)]]},
    {"objects": [["config", True, bytes(32)]]},
    {"objects": [["config", 4]]},
    {"objects": 4},
    {"since": [["x", "0" * 32]]},
    {"since": [[7, 8]]},
    {"since": None},
]


@pytest.mark.parametrize("fields", FORGED)
def test_a_directory_that_no_writer_writes_is_refused(tmp_path: Path, fields: dict[str, object]) -> None:
    with pytest.raises(Corrupt, match="is not as a bundle is"):
        BundleFile(forged(tmp_path, **fields))


def test_a_bundle_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = forged(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[6] = 2
    path.write_bytes(whole)
    with pytest.raises(Unsupported, match="format 2"):
        BundleFile(path)


def forged(folder: Path, **fields: object) -> Path:
    """A bundle of four bytes, with a sound checksum and this in its directory."""
    head = b"SNAPB\0\1\0"
    sound = {"objects": [["config", 4, blake3(b"evil").digest()]], "since": []}
    directory = msgpack.packb({**sound, **fields})
    length = len(directory).to_bytes(8, "little")
    path = folder / "forged.snap"
    path.write_bytes(head + b"evil" + directory + length + blake3(head + directory + length).digest() + head)
    return path
