"""`snap bundle` and `snap unbundle` carry snapshots in a file between machines that see nothing of each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstore.repository import keyring
from snapstore.seal import Cost
from tests.cli.command import Snap


@pytest.fixture
def notes(folder: Path) -> Path:
    """A folder of files, which is the quickest source there is."""
    notes = folder / "notes"
    notes.mkdir()
    (notes / "first.md").write_text("the user likes tea\n" * 40)
    return notes


def test_a_bundle_and_one_that_builds_upon_it_go_into_another_repository(snap: Snap, notes: Path) -> None:
    first = snap.json("take", str(notes), "--tag", "monday")["snapshot"]
    told = snap("bundle", "latest", "-o", "monday.snap")
    assert "1 snapshot in " in told.stdout
    (notes / "second.md").write_text("the user likes coffee\n")
    second = snap.json("take", str(notes))["snapshot"]
    document = snap.json("bundle", "--all", "--since", "monday", "-o", "tuesday.snap")
    assert document["since"] == [first]
    assert [one["snapshot"] for one in document["snapshots"]] == [second]
    assert document["bytes"] == Path("tuesday.snap").stat().st_size
    snap("init", "there")
    there = ("-r", "there")
    refused = snap.error("unbundle", "tuesday.snap", *there, code=1)
    assert refused["code"] == "not_found"
    assert first[:8] in refused["message"]
    for name, taken in (("monday.snap", first), ("tuesday.snap", second)):
        document = snap.json("unbundle", name, *there)
        assert [(one["snapshot"], one["new"]) for one in document["snapshots"]] == [(taken, True)]
        again = snap("unbundle", name, *there)
        assert "there already" in again.stdout
        assert "0 snapshots put into" in again.stdout
    assert snap.json("show", second[:8], *there)["origin"]["snapshot"] == second
    snap("verify", "--read-data", *there)
    (notes / "second.md").unlink()
    snap("restore", second[:8], "--yes", *there)
    assert (notes / "second.md").read_text() == "the user likes coffee\n"


def test_the_bundle_of_an_encrypted_repository_opens_with_its_passphrase(
    snap: Snap, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "DEFAULT_COST", Cost(memory_kib=8, passes=1, lanes=1))
    Path("secret").write_text("one two three\n")
    sealed = ("-r", "sealed", "--passphrase-file", "secret")
    snap("init", "--encrypt", *sealed)
    snap("take", str(notes), *sealed)
    snap("bundle", "latest", "-o", "sealed.snap", *sealed)
    assert snap.error("unbundle", "sealed.snap", code=12)["code"] == "wrong_key"
    assert snap.json("unbundle", "sealed.snap", "--from-passphrase-file", "secret")["snapshots"][0]["new"]
    twin = ("-r", "twin", "--passphrase-file", "secret")
    assert snap.json("unbundle", "sealed.snap", "--init", *twin)["init"]
    (notes / "second.md").write_text("the user likes coffee\n")
    snap("take", str(notes), *sealed)
    snap("bundle", "latest", "--since", "latest~1", "-o", "more.snap", *sealed)
    assert snap.json("unbundle", "more.snap", *twin)["snapshots"][0]["new"]
    snap("verify", "--read-data", *twin)
    assert snap.error("unbundle", "more.snap", "--init", *twin, code=1)["code"] == "exists"
    assert snap.error("unbundle", "more.snap", "--from-passphrase-file", "secret", code=1)["code"] == "unsupported"


def test_what_cannot_be_bundled_or_unbundled_is_refused(snap: Snap, notes: Path) -> None:
    snap("take", str(notes))
    assert "no snapshot is named" in snap.error("bundle", "-o", "x.snap", code=2)["message"]
    assert "contradict" in snap.error("bundle", "--all", "latest", "-o", "x.snap", code=2)["message"]
    Path("x.snap").write_text("mine")
    assert snap.error("bundle", "latest", "-o", "x.snap", code=1)["code"] == "exists"
    assert "x.snap is no bundle" in snap.error("unbundle", "x.snap", code=4)["message"]
    assert snap.error("unbundle", "y.snap", code=1)["code"] == "not_found"
    snap("bundle", "latest", "-o", "y.snap")
    assert "--init" in snap.error("unbundle", "y.snap", "-r", "nowhere", code=10)["hint"]
    assert "not empty" in snap.error("unbundle", "y.snap", "--init", "-r", "notes", code=2)["message"]
