"""`snap init` on a terminal asks about what it finds, and writes a snap.toml that works. A script is asked nothing."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import apsw
import pytest

from snap_cli.offering import DEFAULT_RETENTION
from snap_cli.settings import read_settings
from snapstore.operations.retention import Policy
from tests.cli.command import PROGRAM, Snap, environment

VARIABLE = {"DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:9/memory"}


def talk(folder: Path, answers: list[str], *words: str) -> str:
    """What `snap init` says to a person who answers so."""
    keyboard, terminal = pty.openpty()
    child = subprocess.Popen(
        [*PROGRAM, "init", *words], cwd=folder, env=environment(TERM="dumb", **VARIABLE),
        stdin=terminal, stderr=terminal, stdout=terminal,
    )  # fmt: skip
    os.close(terminal)
    said, left = b"", list(answers)
    while True:
        try:
            some = os.read(keyboard, 4096)
        except OSError:  # the other side is closed
            break
        said += some
        if some and said.rstrip().endswith(b"[Y/n]:") and left:
            os.write(keyboard, left.pop(0).encode() + b"\n")
    os.close(keyboard)
    assert child.wait() == 0, said
    assert not left, said
    return said.decode()


@pytest.fixture
def found(folder: Path) -> Path:
    """A folder with a database, and with what only looks like one."""
    for name in ("mem ${x}.db", "no.sqlite"):
        connection = apsw.Connection(str(folder / name))
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY); INSERT INTO notes VALUES (1)")
        connection.close()
    (folder / "text.db").write_text("not a database", encoding="utf-8")
    return folder


def test_what_is_chosen_is_written_and_can_be_taken(found: Path) -> None:
    said = talk(found, ["y", "", "n", ""], "kept")
    assert "127.0.0.1:9/memory" in said
    assert "text.db" not in said
    assert "hunter2" not in said + (found / "snap.toml").read_text(encoding="utf-8")
    settings = read_settings(found)
    assert settings.repository == str(found / "kept")
    assert settings.sources["memory"].url == "${DATABASE_URL}"
    assert list(settings.sources) == ["memory", "mem ${x}"]
    assert settings.retention == Policy(keep_daily=7, keep_weekly=4, keep_monthly=12)
    snap = Snap(found)
    assert snap.json("take", "mem ${x}")["sources"][0]["tables"][0]["rows"] == 1
    assert DEFAULT_RETENTION in (found / "snap.toml").read_text(encoding="utf-8")


def test_who_wants_none_gets_none_and_one_that_is_there_is_left_alone(found: Path) -> None:
    talk(found, ["n", "n", "n", "n"])
    assert not (found / "snap.toml").exists()
    (found / "snap.toml").write_text("repository = 'other'\n", encoding="utf-8")
    assert "snapshots of" not in talk(found, [])
    assert (found / "snap.toml").read_text(encoding="utf-8") == "repository = 'other'\n"
    assert (found / "other" / "config").exists()


def test_a_script_is_asked_nothing(found: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", VARIABLE["DATABASE_URL"])
    Snap(found)("init")
    assert not (found / "snap.toml").exists()


def test_a_memory_system_is_named_and_its_settings_are_written_if_that_is_wanted(folder: Path) -> None:
    connection = apsw.Connection(str(folder / "agent.db"))
    connection.execute(
        "CREATE TABLE store (prefix text, key text, value text, created_at, updated_at, expires_at,"
        " PRIMARY KEY (prefix, key))"
    )
    connection.close()
    (folder / "index").mkdir()
    (folder / "index" / "chroma.sqlite3").write_bytes(b"")
    said = talk(folder, ["n", "y", "y", "y", "y"])
    assert "looks like LangGraph's store" in said
    assert "looks like Chroma." in said
    settings = read_settings(folder)
    agent = settings.sources["agent"]
    assert agent.ignored == ("main.store.expires_at",)
    assert (agent.roles.memory, agent.roles.content, agent.roles.group) == ("main.store", "value", "prefix")
    assert settings.sources["index"].url == f"file://{folder}/index"
    [agent_look, index_look] = Snap(folder).json("sources")["sources"]
    assert agent_look["known"][0]["ignored"] == ["main.store.expires_at"]
    assert index_look["known"][0]["name"] == "Chroma"
    shown = Snap(folder)("sources").stdout
    assert "looks like LangGraph's store: main.store" in shown
    assert "snap.toml may say so" not in shown  # it does
    told = Snap(folder)("sources", f"sqlite://{folder}/agent.db").stdout
    assert 'ignore-columns = ["main.store.expires_at"]' in told
    assert '    content = "value"' in told


def test_who_wants_no_settings_of_a_system_gets_the_source_alone(folder: Path) -> None:
    connection = apsw.Connection(str(folder / "agent.db"))
    connection.execute(
        "CREATE TABLE store (prefix, key, value, created_at, updated_at, expires_at, PRIMARY KEY (prefix, key))"
    )
    connection.close()
    talk(folder, ["n", "y", "n", "y"])
    agent = read_settings(folder).sources["agent"]
    assert agent.ignored == ()
    assert agent.roles.memory == ""
