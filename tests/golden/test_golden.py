"""Repositories of every format version stay readable, bit for bit, and their roots stay what they were."""

from __future__ import annotations

import importlib.util
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from snapstore import DirectoryBackend, MemoryBackend, Repository, Unsupported, WrongKey, of_snapshot
from snapstore.operations.copy import copy
from snapstore.operations.keys import key_list
from snapstore.operations.verify import verify
from snapstore.repository.keyring import Key
from snapstore.repository.sealed import FORMAT_VERSION
from snapstore.rows import Table
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.values import resolve

HERE = Path(__file__).parent
ROOTS = {
    1: {
        "one": [
            "9d7757c320711921a23cdc63fde897a9b57e7c025ba2857e2b21019af1f1519a",
            "928f1e81685c6ab0c403ad75ed4380a3558cb6819d9401541e6d72071e1c5bca",
            "9ba2873bb47c3d42a46462cd428f59d51c305c1eefe73a25947ea2d86a38271f",
        ],
        "two": [
            "b96c37dd33dfe3b845e7258922535ed971a3ca40240b21fec58a14ed3d44d5ad",
            "928f1e81685c6ab0c403ad75ed4380a3558cb6819d9401541e6d72071e1c5bca",
            "9ba2873bb47c3d42a46462cd428f59d51c305c1eefe73a25947ea2d86a38271f",
        ],
    },
    2: {  # encrypted: the same rows, other names
        "one": [
            "3623780562e676a736381031805c266f357a3f467e0616ded275f21a06922e2f",
            "ba33b8ec1f6d7e5edd06cb90e281f2287d2e5021fb427c5fabeef08ac7f18d86",
            "6c493acc5ea1442cbd56d3ae5b50f4c7984f7fd92636ae9e030b0dc4193948bf",
        ],
        "two": [
            "5028cc24916b40360ea5f126e6921e75b6a47778aebf56473e9d774cfb9fd47a",
            "ba33b8ec1f6d7e5edd06cb90e281f2287d2e5021fb427c5fabeef08ac7f18d86",
            "6c493acc5ea1442cbd56d3ae5b50f4c7984f7fd92636ae9e030b0dc4193948bf",
        ],
    },
}


def maker(version: int) -> ModuleType:
    """The script that says what is in the golden repository of this version."""
    spec = importlib.util.spec_from_file_location(f"make_v{version}", HERE / f"make_v{version}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unpacked(version: int, folder: Path) -> Repository:
    with tarfile.open(HERE / f"v{version}.tar") as stored:
        for member in stored:  # extractall has no filter in the first releases of 3.11, and wants one in later ones
            if (data := stored.extractfile(member)) is not None:
                (folder / member.name).parent.mkdir(parents=True, exist_ok=True)
                (folder / member.name).write_bytes(data.read())
    return Repository.open(DirectoryBackend(folder), lambda: passphrases(version)[0])


def passphrases(version: int) -> tuple[bytes, ...]:
    return getattr(maker(version), "PASSPHRASES", (b"none is asked for",))


def test_every_format_version_has_a_golden_repository() -> None:
    assert set(ROOTS) == set(range(1, FORMAT_VERSION + 1))
    assert all((HERE / f"v{version}.tar").is_file() for version in ROOTS)


@pytest.mark.parametrize("version", ROOTS)
def test_a_golden_repository_reads_back_to_the_bit(version: int, tmp_path: Path) -> None:
    repository = unpacked(version, tmp_path)
    snapshots = {snapshot.tags[0]: snapshot for snapshot in repository.snapshots()}
    assert list(snapshots) == list(ROOTS[version])
    assert snapshots["one"].pinned
    for snapshot, tables in zip(snapshots.values(), maker(version).states(), strict=True):
        for held, (table, rows) in zip(of_snapshot(repository, snapshot).tables, tables, strict=True):
            assert held.tree is not None
            assert held.table == table
            found: dict[bytes | None, tuple[bytes | None, ...]] = {}
            for batch in held.tree.rows():
                columns = [resolve(cells, repository.blobs).to_list() for cells in batch.columns]
                found.update(zip(batch.keys.to_list(), zip(*columns, strict=True), strict=True))
            assert found == rows


@pytest.mark.parametrize("version", ROOTS)
def test_roots_of_the_golden_rows_never_change(version: int, tmp_path: Path) -> None:
    repository = unpacked(version, tmp_path)
    made = maker(version)
    for snapshot, tables in zip(repository.snapshots(), made.states(), strict=True):
        stored = [table.root.hex() for table in snapshot.sources[0].tables if table.root]
        assert stored == ROOTS[version][snapshot.tags[0]]
        assert [rebuilt(repository, table, made.batch_of(table, rows)) for table, rows in tables] == stored


def rebuilt(repository: Repository, table: Table, batch: object) -> str:
    with repository.blobs.writer(bytes(16)) as writer:
        builder = TreeBuilder(table, repository.cut_key, writer)
        builder.add(batch)  # type: ignore[arg-type]  # a Batch, made by a script the checker does not see
        root = builder.finish()
        assert writer.close().blobs == 0, "the golden repository has every blob already"
    return root.hex()


def test_the_golden_encrypted_repository_is_whole_and_opens_with_each_of_its_keys(tmp_path: Path) -> None:
    repository = unpacked(2, tmp_path)
    keys = [key for key in key_list(repository) if isinstance(key, Key)]
    assert [key.label for key in keys] == ["", "zwei"]
    opened = {Repository.open(DirectoryBackend(tmp_path), one).key_id for one in passphrases(2)}
    assert opened == {key.id for key in keys}
    with pytest.raises(WrongKey):
        Repository.open(DirectoryBackend(tmp_path), b"another")
    one, two = repository.snapshots()
    assert (one.version, two.seen) == (1, {one.id: 0})
    assert verify(repository, read_data=True).damaged == ()


def test_the_golden_rows_have_the_plain_roots_again_once_copied_out_of_the_encrypted_one(tmp_path: Path) -> None:
    """By way of the first copy as well: the trees of the second are made of what differs."""
    encrypted, plain = unpacked(2, tmp_path), Repository.init(MemoryBackend())
    copy(encrypted, plain)
    for snapshot in plain.snapshots():
        roots = [table.root.hex() for table in snapshot.sources[0].tables if table.root]
        assert roots == ROOTS[1][snapshot.tags[0]]
    assert verify(plain, read_data=True).damaged == ()


def test_a_repository_of_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    unpacked(1, tmp_path)
    config = tmp_path / "config"
    data = bytearray(config.read_bytes())
    data[6] = FORMAT_VERSION + 1
    config.write_bytes(bytes(data))
    with pytest.raises(Unsupported, match=rf"format {FORMAT_VERSION + 1}; this program reads up to {FORMAT_VERSION}"):
        Repository.open(DirectoryBackend(tmp_path))
