"""`snap init` makes a repository where there is nothing, and touches nothing that is there."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.cli.command import Snap


def test_init_makes_a_repository_only_its_owner_can_read(folder: Path) -> None:
    snap = Snap(folder)
    document = snap.json("init", "backups/memory")
    assert document["repository"] == str(folder / "backups" / "memory")
    assert stat.S_IMODE((folder / "backups").stat().st_mode) == 0o700
    assert snap.json("-r", "backups/memory", "list") == []


def test_init_says_what_comes_next(folder: Path) -> None:
    assert "snap take" in Snap(folder)("init").stderr
    assert Snap(folder)("init", "other", "-q").stderr == ""


def test_init_leaves_a_repository_alone(snap: Snap, url: str) -> None:
    snap("take", url)
    assert snap.error("init", code=1)["code"] == "exists"
    assert len(snap.json("list")) == 1


def test_init_does_not_settle_among_other_files(folder: Path) -> None:
    for name in ("Notes.txt", "sub/x"):
        place = folder / name.partition(".")[0]
        place.mkdir(parents=True)
        (place / Path(name).name).write_text("mine", encoding="utf-8")
        before = sorted(place.iterdir())
        assert "not empty" in Snap(folder).error("init", str(place), code=2)["message"]
        assert sorted(place.iterdir()) == before
    (folder / "file").write_text("", encoding="utf-8")
    Snap(folder)("init", "file", code=2)


def test_the_next_step_names_the_repository_that_was_named(snap: Snap) -> None:
    assert "next: snap -r 'a b' take" in snap("-r", "a b", "init").stderr
