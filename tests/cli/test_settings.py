"""Where the repository and the sources come from: options, environment, snap.toml, defaults, in this order."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.command import Snap


def test_snap_toml_names_repository_and_sources(folder: Path, url: str) -> None:
    snap = Snap(folder)
    (folder / "snap.toml").write_text(
        f'repository = "backups/memory"\n[sources.agents]\nurl = "{url}"\nexclude = ["visits"]\n', encoding="utf-8"
    )
    snap("init")
    assert (folder / "backups" / "memory" / "config").exists()
    taken = snap.json("take")
    assert taken["sources"][0]["name"] == "agents"
    assert [table["name"] for table in taken["sources"][0]["tables"]] == ["public.memories"]
    assert "snap.toml: agents" in snap("status").stderr
    assert snap.json("take", "agents")["sources"][0]["name"] == "agents"


def test_the_nearest_snap_toml_holds_and_its_repository_is_relative_to_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "snap.toml").write_text('repository = "here"', encoding="utf-8")
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    Snap(folder)("init")
    assert (folder / "here" / "config").exists()


def test_the_option_beats_the_environment_which_beats_snap_toml(folder: Path) -> None:
    snap = Snap(folder)
    (folder / "snap.toml").write_text('repository = "c"', encoding="utf-8")
    snap("init", "a")
    snap("init", env={"SNAP_REPO": "b"})
    snap("list", code=10)
    snap("list", env={"SNAP_REPO": "b"})
    snap("list", "-r", "a", env={"SNAP_REPO": "c"})
    snap("-r", "a", "list", env={"SNAP_REPO": "c"})


def test_the_environment_may_name_the_source(snap: Snap, url: str) -> None:
    snap("take", env={"SNAP_SOURCE": url})
    assert "no differences" in snap("status", env={"SNAP_SOURCE": url}).stdout


def test_other_stores_and_missing_libraries_are_refused_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = Snap(folder).error("-r", "sftp://host/x", "list", code=1)
    assert error["code"] == "unsupported"
    assert "sftp://" in error["message"]
    monkeypatch.setitem(sys.modules, "snapstore.backends.cloud", None)
    for place in ("s3://bucket/memory", "gs://bucket", "az://container/x"):
        error = Snap(folder).error("-r", place, "list", code=1)
        assert error["code"] == "unsupported"
        assert "snapstore[cloud]" in error["hint"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("repository = 3", "repository"),
        ("repo = 'x'", "repo"),
        ("[sources.a]\nurll = 'x'", "urll"),
        ("[sources.a]\ntables = ['x']", "url"),
        ("[sources.a]\nurl = 'postgresql:///x'\ntables = 'x'", "tables"),
        ("sources = 1", "sources"),
        ("= nonsense", "snap.toml"),
    ],
)
def test_a_mistake_in_snap_toml_is_named(folder: Path, text: str, word: str) -> None:
    (folder / "snap.toml").write_text(text, encoding="utf-8")
    error = Snap(folder).error("list", code=2)
    assert word in error["message"]


@pytest.mark.parametrize(("source", "code"), [("qdrant://localhost", 1), ("mysql://localhost/x", 2)])
def test_engines_that_are_not_held_are_refused_by_name(snap: Snap, source: str, code: int) -> None:
    assert source.partition(":")[0] in snap.error("take", source, code=code)["message"]
