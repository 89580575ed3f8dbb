"""`snap sync` and scheduled takes: what is taken goes to the repository that snap.toml names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.command import Snap


@pytest.fixture
def synced(snap: Snap, monkeypatch: pytest.MonkeyPatch) -> Snap:
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    (snap.folder / "notes").mkdir()
    (snap.folder / "notes" / "a.md").write_text("# a\n", encoding="utf-8")
    (snap.folder / "snap.toml").write_text(
        f'[sources.notes]\nurl = "file://{snap.folder}/notes"\n[retention]\nkeep-last = 1\n'
        '[sync]\nto = "off-site"\npassphrase-command = "echo open sesame"\n',
        encoding="utf-8",
    )
    return snap


def test_a_scheduled_take_is_copied_before_old_ones_go(synced: Snap) -> None:
    synced("init", "--encrypt", "off-site", env={"SNAP_PASSPHRASE": "open sesame"})
    for text in ("# b\n", "# c\n"):
        synced("schedule", "run")
        (synced.folder / "notes" / "a.md").write_text(text, encoding="utf-8")
    assert len(synced.json("list")) == 1
    assert len(synced.json("list", "-r", "off-site", env={"SNAP_PASSPHRASE": "open sesame"})) == 2
    assert synced.json("sync")["snapshots"][0]["new"] is False


def test_a_target_that_is_not_there_fails_the_run_and_old_snapshots_still_go(synced: Snap) -> None:
    synced("take")
    result = synced("schedule", "run", code=10)
    assert "off-site" in result.stderr
    assert len(synced.json("list")) == 1
    assert "snap init" in synced.error("sync", code=10)["hint"]


def test_without_a_target_nothing_is_copied(snap: Snap, folder: Path) -> None:
    assert "[sync]" in snap.error("sync", code=2)["message"]
    (folder / "snap.toml").write_text("[sync]\npassphrase-file = 'x'\n", encoding="utf-8")
    assert "snap.toml:1:" in snap.error("sync", code=2)["message"]
