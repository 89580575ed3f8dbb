"""Completion: by click's own protocol, as the scripts of the shells speak it, and in bash itself."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from snap_cli.completion import VARIABLE
from snap_cli.context import App
from snap_cli.main import cli
from tests.cli.command import PROGRAM, Snap, environment


def offered(*words: str) -> list[str]:
    """What is offered for the last of these words."""
    complete = ShellComplete(cli, {"obj": App()}, "snap", VARIABLE)
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


@pytest.fixture
def taken(snap: Snap) -> str:
    """A repository with one snapshot; its id as it is offered."""
    with closing(sqlite3.connect(snap.folder / "agents.db")) as agent:
        agent.execute("CREATE TABLE memories (id INTEGER PRIMARY KEY)")
    document = snap.json("take", f"sqlite://{snap.folder}/agents.db", "--tag", "monday", "--tag", "it's")
    return str(document["snapshot"])[:8]


def test_commands_and_options_are_offered_without_loading_commands() -> None:
    assert sorted(offered("re")) == ["repair", "restore"]
    assert "--json" in offered("--j")
    asked = (
        "import sys; from tests.cli.test_completion import offered; offered(''); print('snap_cli.take' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, env=environment(),
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout == "False\n"


def test_snapshots_are_offered_by_tag_and_id(taken: str) -> None:
    assert offered("restore", "") == ["latest", "monday", taken]
    assert offered("diff", "monday", "") == ["latest", "live", "monday", taken]
    assert offered("show", taken[:3]) == [taken]
    assert offered("tag", "add", "mon") == ["monday"]


def test_the_repository_that_the_command_would_use_is_read(taken: str, snap: Snap) -> None:
    (snap.folder / "deep").mkdir()
    assert offered("-r", str(snap.folder / "deep"), "rm", "") == []
    assert offered("rm", "--repo", str(snap.folder / ".snapstore"), "l") == ["latest"]


def test_sources_of_snap_toml_are_offered(folder: Path) -> None:
    (folder / "snap.toml").write_text(
        '[sources.agents]\nurl = "sqlite:///agents.db"\n[sources.graph]\nurl = "sqlite:///graph.db"\n'
        '[groups]\nmemory = ["agents", "graph"]\n',
        encoding="utf-8",
    )
    assert offered("take", "") == ["agents", "graph", "memory"]
    assert offered("restore", "--source", "g") == ["graph"]


def test_where_nothing_can_be_known_nothing_is_said(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert offered("show", "") == []
    (folder / "snap.toml").write_text("nonsense", encoding="utf-8")
    assert offered("take", "") == []
    assert offered("-r", "s3://bucket/memory", "show", "") == ["latest", "live"]
    assert capfd.readouterr() == ("", "")


def test_an_encrypted_repository_asks_for_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Snap(folder)("init", "--encrypt", env={"SNAP_PASSPHRASE": "a passphrase"})
    assert offered("show", "") == ["latest", "live"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_of_the_shell_and_ask_this_program(shell: str, folder: Path) -> None:
    script = Snap(folder)("completion", shell).stdout
    assert f"{VARIABLE}={shell}_complete" in script
    assert Snap(folder).json("completion", shell) == {"shell": shell, "script": script}


def test_bash_completes(taken: str, snap: Snap) -> None:
    (snap.folder / "bin").mkdir()
    program = snap.folder / "bin" / "snap"
    program.write_text(f'#!/bin/sh\nexec "{PROGRAM[0]}" -m snap_cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    typed = 'eval "$(snap completion bash)"; COMP_WORDS=(snap restore mo); COMP_CWORD=2; _snap_completion snap; '
    done = subprocess.run(
        ["bash", "-c", typed + 'echo "${COMPREPLY[@]}"; complete -p snap'],
        capture_output=True, text=True, check=True, cwd=snap.folder,
        env=environment(PATH=f"{snap.folder / 'bin'}:/usr/bin:/bin"),
    )  # fmt: skip
    assert done.stdout.splitlines() == ["monday", "complete -o nosort -F _snap_completion snap"]
    assert done.stderr == ""
