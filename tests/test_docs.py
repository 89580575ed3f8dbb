"""What the documents say is so: sessions run as shown, settings are understood, commands exist."""

from __future__ import annotations

import fnmatch
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from snap_cli.embedded import EmbeddedServer
from snap_cli.main import cli
from snap_cli.settings import FILE, RETENTION_WORDS, ROLE_WORDS, SOURCE_WORDS, SYNC_WORDS, TOP_WORDS, read_settings
from snap_cli.wished import HOOK_WORDS, NOTICE_WORDS
from tests.sessions import Shell, is_as_shown, read_blocks, read_steps, run

HERE = Path(__file__).parent.parent
SESSIONS = ("README.md", "docs/tutorial.md")
DOCUMENTS = (*SESSIONS, "docs/api.md", "docs/cli.md", "docs/configuration.md", "docs/history.md")

# One of several that mean alike is enough in an example.
UNSHOWN = ("passphrase-command", "keep-last", "keep-hourly", "keep-yearly", "keep-within")


def read(document: str) -> str:
    return (HERE / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", SESSIONS)
def test_sessions_run_as_shown(document: str, server: EmbeddedServer, tmp_path: Path) -> None:
    with Shell(server, tmp_path) as shell:
        for language, session in read_blocks(read(document)):
            if language == "console":
                for step, now, wrong in run(shell, read_steps(session)):
                    assert not wrong, f"{document}: {wrong}\n\nshown:\n{step.text}\nnow:\n{now.text}"


@pytest.mark.parametrize("document", SESSIONS)
def test_every_block_is_of_a_kind_that_is_tested(document: str) -> None:
    assert {language for language, _ in read_blocks(read(document))} <= {"console", "sh", "cron", "toml"}


def commands(document: str) -> Iterator[list[str]]:
    """The words of every `snap …` in blocks that are not run, and in running text."""
    text = read(document)
    for language, block in read_blocks(text):
        if language in ("sh", "cron"):
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r"&&|\|\||;", line):
                    found = re.search(r"(?:^|\s)snap (\S.*)", part)
                    if found:
                        yield shlex.split(found[1], comments=True)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for found in re.finditer(r"`snap ([^`…]+)`", prose):
        yield shlex.split(found[1])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_that_are_only_mentioned_exist(document: str) -> None:
    for words in commands(document):
        command: click.Command = cli
        for word in words:
            if word in ("COMMAND", "--"):
                break
            if word.startswith("-"):
                known = {option for parameter in command.params for option in (*parameter.opts, "-h", "--help")}
                assert word.partition("=")[0] in known, f"`snap {shlex.join(words)}`: {command.name} has no {word}"
            elif isinstance(command, click.Group) and word != "PATH":
                found = command.get_command(click.Context(command), word)
                assert found is not None, f"there is no `snap {word}`"
                command = found


@pytest.mark.parametrize("document", [*SESSIONS, "docs/configuration.md"])
def test_settings_in_documents_are_understood(document: str, tmp_path: Path) -> None:
    for language, block in read_blocks(read(document)):
        if language == "toml":
            tomllib.loads(block)
            (tmp_path / FILE).write_text(block, encoding="utf-8")
            read_settings(tmp_path)


def test_every_word_of_snap_toml_is_told_and_shown() -> None:
    text = read("docs/configuration.md")
    [example, *_] = [block for language, block in read_blocks(text) if language == "toml"]
    for words in (TOP_WORDS, SOURCE_WORDS, ROLE_WORDS, RETENTION_WORDS, HOOK_WORDS, NOTICE_WORDS, SYNC_WORDS):
        for word in words:
            assert re.search(rf"`\[{{0,2}}(sources\.NAME\.)?{word}(\.TABLE|\.NAME)?\]{{0,2}}`", text), word
            assert re.search(rf"\b{word}\b", example) or word in UNSHOWN, word


def test_every_command_is_in_the_reference() -> None:
    reference = read("docs/cli.md")
    for name, command in cli.commands.items():
        assert f"\n## snap {name}\n" in reference
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("--") or option in reference, f"{option} of {name}: run `make docs`"


@pytest.mark.parametrize("document", sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("**/*.md")))
def test_links_lead_somewhere(document: str) -> None:
    if document.startswith("."):
        return
    folder = (HERE / document).parent
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", read(document)):
        assert "://" in target or (folder / target).exists(), f"{document} links to {target}"


def test_the_map_names_modules_that_exist_and_every_package() -> None:
    """A module may be named by the end of its path: `blobs/store.py`, or in its own line just `store.py`."""
    text = read("docs/design.md")
    there = ["/" + path.relative_to(HERE).as_posix() for path in HERE.rglob("*.py")]
    named = set(re.findall(r"`([\w./*]+\.py)`", text))
    assert len(named) > 50
    assert [name for name in sorted(named) if not fnmatch.filter(there, f"*/{name}")] == []
    for package in (HERE / "snapstore", HERE / "snapstore" / "sources"):
        for folder in package.iterdir():
            if (folder / "__init__.py").exists():
                assert re.search(rf"\b{folder.name}\b", text), folder


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        (["snapshot 0123abcd of agents"], ["snapshot ffff0000 of agents"], True),
        (["read 1.2 MB in 0.4 s"], ["read  999 B in 12 s"], True),
        (["3 rows"], ["4 rows"], False),
        (["a", "...", "z"], ["a", "b", "c", "z"], True),
        (["a", "..."], ["b"], False),
        ([], ["something"], False),
    ],
)
def test_sessions_are_compared_by_what_matters(shown: list[str], said: list[str], same: bool) -> None:
    assert is_as_shown(shown, said) == same
