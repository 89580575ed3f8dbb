"""`snap copy` copies between repositories of any kind, says what it did, and knows its own copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstore.repository import keyring
from snapstore.seal import Cost
from tests.cli.command import Snap, rows, run


@pytest.fixture
def secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with a passphrase, which is stretched as little as can be."""
    monkeypatch.setattr(keyring, "DEFAULT_COST", Cost(memory_kib=8, passes=1, lanes=1))
    (folder / "secret").write_text("one two three\n")
    return str(folder / "secret")


def test_snapshots_are_copied_into_an_encrypted_repository_and_back(
    snap: Snap, url: str, folder: Path, secret: str
) -> None:
    taken = snap.json("take", url, "--tag", "first")["snapshot"]
    run(url, "UPDATE memories SET heat = 0.5 WHERE id < 5")
    snap("take", url)
    snap("init", "there", "--encrypt", "--passphrase-file", secret)
    document = snap.json("copy", "--all", "--to", "there", "--to-passphrase-file", secret)
    assert [one["new"] for one in document["snapshots"]] == [True, True]
    assert document["snapshots"][0]["snapshot"] == taken
    again = snap("copy", "latest", "--to", "there", env={"SNAP_TO_PASSPHRASE": "one two three"})
    assert "there already" in again.stdout
    assert "copied 0 snapshots" in again.stdout
    there = ("-r", "there", "--passphrase-file", secret)
    shown = snap.json("show", taken[:8], *there)
    assert shown["origin"]["snapshot"] == taken
    assert shown["tags"] == ["first"]
    assert f"copy    of {taken[:8]}" in snap("show", taken[:8], *there).stdout
    # What was copied serves the next take, and a restore.
    assert "by stamps: 0 of 100 rows" in snap("take", url, *there).stdout
    run(url, "DELETE FROM memories WHERE id = 7")
    snap("restore", taken[:8], "--yes", "--exact", *there)
    assert rows(url, "SELECT count(*), sum(heat) FROM memories") == [(100, 100.0)]
    snap("init", "back")
    snap("copy", "--all", "--from", "there", "--from-passphrase-file", secret, "-r", "back")
    roots = [
        [table["root"] for table in snap.json("show", "first", *where)["sources"][0]["tables"]]
        for where in ((), ("-r", "back"))
    ]
    assert roots[0] == roots[1]
    snap("verify", "--read-data", "-r", "back")


REFUSED = [
    (["--to", "there"], 2, "no snapshot is named"),
    (["latest", "--all", "--to", "there"], 2, "contradict"),
    (["latest"], 2, "not named"),
    (["latest", "--from", "there", "--to-passphrase-file", "x"], 2, "without --to"),
    (["latest", "--to", "nowhere"], 10, "no repository"),
    (["latest", "--to", ".snapstore"], 2, "itself"),
    (["latest", "--to", "there"], 12, "no passphrase"),
]


def test_what_cannot_be_copied_is_refused(snap: Snap, url: str, secret: str) -> None:
    snap("take", url)
    snap("init", "there", "--encrypt", "--passphrase-file", secret)
    for words, code, told in REFUSED:
        assert told in snap.error("copy", *words, code=code)["message"]
