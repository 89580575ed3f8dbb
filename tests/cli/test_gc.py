"""`snap gc`, `rm`, `pin` and `tag`: what stays and why, and that nothing else goes."""

from __future__ import annotations

import pytest

from tests.cli.command import Snap, run


@pytest.fixture
def three(snap: Snap, url: str) -> list[str]:
    """The ids of three snapshots that differ."""
    ids = []
    for heat in (1, 2, 3):
        run(url, f"UPDATE memories SET heat = {heat}, content = content || repeat(md5(random()::text), 20)")
        ids.append(snap.json("take", url)["snapshot"])
    return ids


def test_a_dry_run_lists_what_goes_and_why_the_rest_stays(snap: Snap, three: list[str]) -> None:
    shown = snap("gc", "--keep-last", "1", "--dry-run").stdout
    assert [line.split()[:2] for line in shown.splitlines()[1:4]] == [
        ["remove", three[0][:8]], ["remove", three[1][:8]], ["keep", three[2][:8]],
    ]  # fmt: skip
    assert "last" in shown
    document = snap.json("gc", "--keep-last", "1", "--dry-run")
    assert document["removed"] == three[:2]
    assert document["kept"] == three[2:]
    assert document["bytes_freed"] > 0
    assert len(snap.json("list")) == 3


def test_gc_removes_what_no_rule_keeps_and_gives_space_back(snap: Snap, three: list[str], url: str) -> None:
    document = snap.json("gc", "--keep-last", "1")
    assert {"removed", "kept", "bytes_freed"} <= document.keys()
    assert sorted(document["removed"]) == sorted(three[:2])
    assert document["bytes_freed"] > 0
    assert [one["snapshot"] for one in snap.json("list")] == three[2:]
    assert "no differences" in snap("status").stdout


@pytest.mark.parametrize("words", [[], ["--keep-last", "0"], ["--keep-all", "--keep-last", "1"], ["--keep-last", "-1"],
                                   ["--keep-within", "soon"]])  # fmt: skip
def test_a_policy_that_keeps_nothing_or_contradicts_itself_is_refused(
    snap: Snap, three: list[str], words: list[str]
) -> None:
    snap("gc", *words, code=2)
    assert len(snap.json("list")) == 3


def test_prune_is_another_word_for_gc_and_rules_may_be_joined(snap: Snap, three: list[str]) -> None:
    snap("tag", "add", three[0], "release")
    kept = snap.json("prune", "--keep-tag", "release", "--keep-daily", "1")["kept"]
    assert sorted(kept) == sorted([three[0], three[2]])
    assert snap.json("gc", "--keep-within", "30d")["removed"] == []


def test_removed_snapshots_leave_garbage_that_keep_all_sweeps(snap: Snap, three: list[str]) -> None:
    assert snap.json("rm", three[0][:8], "latest")["removed"] == [three[0], three[2]]
    document = snap.json("gc", "--keep-all")
    assert document["removed"] == []
    assert document["kept"] == [three[1]]
    assert document["bytes_freed"] > 0
    assert snap.json("gc", "--keep-all")["bytes_freed"] == 0


def test_a_pinned_snapshot_is_neither_removed_nor_collected(snap: Snap, three: list[str]) -> None:
    assert snap.json("pin", three[0])[0]["pinned"] is True
    assert "pinned" in snap.error("rm", three[1], three[0], code=2)["message"]
    assert len(snap.json("list")) == 3
    assert three[0] in snap.json("gc", "--keep-last", "1")["kept"]
    assert snap.json("unpin", three[0])[0]["pinned"] is False
    snap("rm", three[0])


def test_tags_are_given_and_taken(snap: Snap, three: list[str]) -> None:
    assert snap.json("tag", "add", "latest", "a", "b")["tags"] == ["a", "b"]
    assert snap.json("show", "a")["snapshot"] == three[2]
    assert snap.json("tag", "remove", "a", "b")["tags"] == ["a"]
    assert snap.error("tag", "remove", "latest", "b", code=1)["code"] == "not_found"
    assert snap.error("tag", "add", "latest", "not a word", code=2)["code"] == "invalid"


def test_names_that_mean_nothing_remove_nothing(snap: Snap, three: list[str]) -> None:
    snap("rm", three[0], "nothing", code=1)
    assert len(snap.json("list")) == 3
    snap("rm", code=2)
    snap("pin", "nothing", code=1)


def test_retention_in_snap_toml_holds_where_no_rule_is_given(snap: Snap, three: list[str]) -> None:
    (snap.folder / "snap.toml").write_text("[retention]\nkeep-last = 2\nkeep-tag = ['gold']\n", encoding="utf-8")
    told = snap("gc", "--dry-run")
    assert "kept by [retention] in" in told.stderr
    assert "2 last, tag gold" in told.stderr
    assert snap.json("gc", "--dry-run", "--keep-last", "1")["removed"] == three[:2]
    assert snap.json("gc", "--keep-all")["removed"] == []
    snap("tag", "add", three[0], "gold")
    assert snap.json("gc")["removed"] == []
    snap("tag", "remove", three[0], "gold")
    assert snap.json("gc")["removed"] == three[:1]


def test_room_is_made_by_the_oldest_that_only_counts_keep(snap: Snap, three: list[str]) -> None:
    packs = [path.stat().st_size for path in (snap.folder / ".snapstore" / "packs").rglob("*") if path.is_file()]
    all_bytes = sum(packs)
    assert snap.json("gc", "--keep-last", "3", "--max-size", f"{all_bytes}", "--dry-run")["removed"] == []
    plan = snap.json("gc", "--keep-last", "3", "--max-size", f"{all_bytes - 1}", "--dry-run")
    assert plan["removed"] == three[:1]
    assert plan["choices"][0]["reasons"] == ["room is needed"]
    # What cannot be reached costs no snapshot; neither does a pin.
    told = snap("gc", "--keep-last", "3", "--max-size", "1")
    assert "not as much room" in told.stderr
    assert len(snap.json("list")) == 3
    snap("pin", three[0])
    assert snap.json("gc", "--keep-last", "3", "--min-free", "5000TB")["short_bytes"] > 0
    (snap.folder / "snap.toml").write_text(
        f"[retention]\nkeep-last = 3\nmax-size = '{all_bytes - 1} B'\nmin-free = '1 B'\n", encoding="utf-8"
    )
    assert "at most" in snap("gc", "--dry-run").stderr
    assert snap.json("gc")["removed"] == three[1:2]
    snap("gc", "--keep-all", "--max-size", "1", code=2)
