"""Encrypted repositories from the command line: every command, every way to give a passphrase, and none shows it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from snapstore.repository import keyring
from snapstore.seal import Cost
from tests.cli.command import Snap, rows, run

SECRET, OTHER = "hunter2 geheim", "ein anderes"


@pytest.fixture
def sealed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Snap:
    """The command line in a folder that has an encrypted repository, with its passphrase in the environment."""
    monkeypatch.setenv("SNAP_PASSPHRASE", SECRET)
    monkeypatch.setattr(keyring, "DEFAULT_COST", Cost(memory_kib=8, passes=1, lanes=1))
    snap = Snap(folder)
    snap("init", "--encrypt")
    return snap


def test_every_command_works_on_an_encrypted_repository(sealed: Snap, url: str, folder: Path) -> None:
    before = rows(url, "SELECT * FROM memories ORDER BY id")
    first = sealed.json("take", url, "--tag", "first")["snapshot"]
    run(url, "DELETE FROM memories WHERE id < 20; UPDATE memories SET heat = 2 WHERE id > 90")
    assert sealed.json("status", "--to", url)["tables"][0]["removed"] == 19
    second = sealed.json("take", url)["snapshot"]
    assert [one["snapshot"] for one in sealed.json("list")] == [first, second]
    assert sealed.json("show", "first")["snapshot"] == first
    tables = {table["name"]: table for table in sealed.json("diff", "first", "latest")["tables"]}
    assert (tables["public.memories"]["removed"], tables["public.memories"]["changed"]) == (19, 10)
    sealed("restore", "first", "--to", url, "--exact", "--yes")
    assert rows(url, "SELECT * FROM memories ORDER BY id") == before
    sealed("undo", "--to", url, "--yes")
    assert len(rows(url, "SELECT * FROM memories")) == 81
    sealed("tag", "add", second[:8], "kept")
    sealed("pin", second[:8])
    sealed("rm", "first")
    sealed("gc", "--keep-all")
    assert sealed.json("verify", "--read-data")["damaged"] == []
    (folder / ".snapstore" / "snapshots" / second).unlink()
    [damage] = sealed.json("verify", code=4)["damaged"]
    assert damage["object"] == f"snapshots/{second}"
    sealed("rm", "--damaged", second)
    sealed("verify")
    held = b"".join(path.read_bytes() for path in (folder / ".snapstore").rglob("*") if path.is_file())
    assert b"memories" not in held


def test_a_passphrase_is_given_in_many_ways_and_a_wrong_one_opens_nothing(
    sealed: Snap, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SNAP_PASSPHRASE")
    (folder / "right").write_text(f"{SECRET}\nmore\n", encoding="utf-8")
    (folder / "wrong").write_text(OTHER, encoding="utf-8")
    (folder / "empty").write_text("\n", encoding="utf-8")
    printing = f"{sys.executable} -c 'print(open(\"right\").read())'"
    sealed("list", "--passphrase-file", "right")
    sealed("--passphrase-command", printing, "list")
    sealed("list", env={"SNAP_PASSPHRASE_FILE": "right"})
    sealed("list", env={"SNAP_PASSPHRASE_COMMAND": printing})
    for words, code in (
        (["--passphrase-file", "wrong"], 12),
        ([], 12),
        (["--passphrase-file", "empty"], 2),
        (["--passphrase-file", "nowhere"], 1),
        (["--passphrase-command", "false"], 1),
        (["--passphrase-command", "'"], 2),
        (["--passphrase-file", "right", "--passphrase-command", printing], 2),
    ):
        error = sealed.error("list", *words, code=code)
        assert error["hint"]
        assert SECRET not in str(error)
    assert sealed.error("list", "--passphrase-file", "wrong", code=12)["code"] == "wrong_key"


def test_a_plain_repository_is_refused_where_a_passphrase_is_given(snap: Snap) -> None:
    assert "not encrypted" in snap("list", env={"SNAP_PASSPHRASE": SECRET}, code=12).stderr
    snap("init", "other", env={"SNAP_PASSPHRASE": SECRET}, code=2)
    assert not (snap.folder / "other").exists()
    assert "nobody can be asked" in snap.error("init", "third", "--encrypt", code=12)["message"]
    assert "not encrypted" in snap.error("key", "list", code=2)["message"]


def test_keys_are_added_listed_changed_and_removed(sealed: Snap, folder: Path) -> None:
    (folder / "new").write_text(OTHER, encoding="utf-8")
    [first] = sealed.json("key", "list")
    assert first["current"]
    sealed("key", "remove", first["key"], code=2)
    added = sealed.json("key", "add", "--label", "off-site", "--new-passphrase-file", "new")
    assert [key["label"] for key in sealed.json("key", "list")] == ["", "off-site"]
    shown = sealed("key", "list", env={"SNAP_PASSPHRASE": OTHER}).stdout
    assert f"*  {added['key'][:8]}" in shown
    sealed("key", "remove", "0000", code=1)
    sealed("key", "remove", first["key"][:6], env={"SNAP_PASSPHRASE": OTHER})
    sealed("list", code=12)
    (folder / "new").write_text("a third", encoding="utf-8")
    changed = sealed.json("key", "passwd", "--new-passphrase-file", "new", env={"SNAP_PASSPHRASE": OTHER})
    sealed("list", env={"SNAP_PASSPHRASE": OTHER}, code=12)
    assert sealed.json("key", "list", env={"SNAP_PASSPHRASE": "a third"}) == [changed]
    sealed("key", "add", env={"SNAP_PASSPHRASE": "a third"}, code=2)


def test_the_passphrase_is_shown_nowhere(sealed: Snap, url: str, folder: Path) -> None:
    (folder / ".snapstore" / "keys" / ("0" * 32)).write_bytes(b"junk")
    for words, code in ((["list"], 0), (["take", url], 0), (["verify"], 4), (["key", "list"], 0), (["take", "x"], 2)):
        result = sealed(*words, "-vv", code=code)
        assert SECRET not in result.stdout + result.stderr
    result = sealed("list", "-vv", env={"SNAP_PASSPHRASE": "wrong" + SECRET}, code=4)
    assert SECRET not in result.stdout + result.stderr
