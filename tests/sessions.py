"""Runs the terminal sessions in our documents: what they show is what happens.

    with Shell(server, folder) as shell:
        for session in read_sessions(text):
            run(shell, session)                     # a list of what is different, empty if nothing is

A session is a block fenced with ```console: lines that begin with `$ ` are typed into one shell per document, with the
lines that begin with `> ` after them; what follows is what they print, errors included. A line `...` stands for any
lines. Ids, times, sizes and durations may be others.

`python tests/sessions.py README.md docs/tutorial.md` writes what is printed now into the documents, where it differs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from snap_cli.demo.agents import Memory
from snap_cli.embedded import EmbeddedServer
from snap_cli.sample import load

HERE = Path(__file__).parent.parent

# Whom the documents are told to, in place of this machine's folders and sockets.
FOLDER = "/home/me/agents"
URL = "postgresql://me@localhost/"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "-- the end of a command:"

# A quote that is never closed waits for ever.
_LONGEST_SECONDS = 120

# What differs from run to run, and what it counts as.
_VOLATILE = (
    (re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{12}|[0-9a-f]{8})\b"), "ID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b[\d,]+(?:\.\d)? (?:B|kB|MB|GB)\b"), "SIZE"),
    (re.compile(r"\b\d+(?:\.\d)? s\b"), "SECONDS"),
    (re.compile(r"\b[\d,]+ blobs\b"), "BLOBS"),
    (re.compile(r" +"), " "),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One command as it is typed, and the lines that the document shows after it."""

    typed: str
    shown: tuple[str, ...]

    @property
    def text(self) -> str:
        """As it stands in the document."""
        typed = self.typed.replace("\n", "\n> ")
        return "\n".join([f"$ {typed}", *self.shown]) + "\n"


def read_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Every fenced block of a document: its language and what is in it."""
    return ((match[1], match[2]) for match in _BLOCK.finditer(text))


def read_steps(session: str) -> list[Step]:
    """The commands of a session."""
    steps: list[Step] = []
    lines = session.splitlines()
    at = 0
    while at < len(lines):
        assert lines[at].startswith("$ "), f"a session begins with a command, not with {lines[at]!r}"
        typed = [lines[at][2:]]
        at += 1
        while at < len(lines) and lines[at].startswith("> "):
            typed.append(lines[at][2:])
            at += 1
        shown = []
        while at < len(lines) and not lines[at].startswith("$ "):
            shown.append(lines[at])
            at += 1
        steps.append(Step("\n".join(typed), tuple(shown)))
    return steps


class Shell:
    """A bash in a new folder, with `snap`, psql and a database `agents` of real memories on a server of its own."""

    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        self._server = server
        self._folder = folder / "agents"
        self._folder.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        for name in ("snap", "snapstore"):
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m snap_cli "$@"\n', encoding="utf-8")
            (programs / name).chmod(0o755)
        url = server.create_database("agents")
        with psycopg.connect(url, autocommit=True) as connection:
            # As `snap demo --keep` leaves it.
            memory = Memory(connection, load())
            memory.create()
            memory.day()
        environment: Mapping[str, str] = {
            "PATH": f"{programs}:{server.programs}:{os.environ['PATH']}",
            "PYTHONPATH": f"{HERE}:{HERE / 'cli'}",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "PGHOST": str(server.folder),
            "PGUSER": "postgres",
        }
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            cwd=self._folder,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bash.communicate()
        self._server.drop_database("agents")

    def type(self, command: str) -> tuple[list[str], int]:
        """The lines that a command prints, and its exit code."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        # Without the port, which is the usual one: a shell makes something of `&`.
        real = re.sub(
            re.escape(URL) + r"(\w+)", lambda match: self._server.url(match[1]).removesuffix("&port=5432"), command
        )
        self._bash.stdin.write(
            f"{{\n{real}\n}} </dev/null\ncode=$?; printf '\\n%s %s\\n' '{_MARK}' $code; (exit $code)\n"
        )
        self._bash.stdin.flush()
        said: list[str] = []
        limit = threading.Timer(_LONGEST_SECONDS, self._bash.kill)
        limit.start()
        for line in self._bash.stdout:
            if line.startswith(_MARK):
                limit.cancel()
                if said and not said[-1]:
                    said.pop()
                return said, int(line.removeprefix(_MARK))
            said.append(self._retold(line.rstrip("\n")))
        raise AssertionError(f"the shell ended at {command!r}: {said}")

    def _retold(self, line: str) -> str:
        folder = re.escape(str(self._server.folder))
        line = line.replace("what was made belongs to postgres", "what was made belongs to me")
        line = re.sub(r"postgresql://postgres@/(\w+)\?host=" + folder + r"(?:&port=5432)?", URL + r"\1", line)
        return line.replace(str(self._folder), FOLDER).rstrip()


def run(shell: Shell, steps: Sequence[Step]) -> Iterator[tuple[Step, Step, str]]:
    """Each step as the document has it, as it is now, and what is wrong with it (nothing: an empty word)."""
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        said, code = shell.type(step.typed)
        wrong = ""
        if code and not (following is not None and following.typed == "echo $?"):
            wrong = f"exit code {code}, and the next line does not ask for it"
        if not is_as_shown(step.shown, said):
            wrong = wrong or "prints something else"
        yield step, Step(step.typed, tuple(said)), wrong


def is_as_shown(shown: Sequence[str], said: Sequence[str]) -> bool:
    """Whether the document shows what was said, up to what differs from run to run."""
    pattern = "".join("(?:.*\n)*?" if line.strip() == "..." else re.escape(steady(line)) + "\n" for line in shown)
    return re.fullmatch(pattern, "".join(steady(line) + "\n" for line in said)) is not None


def steady(line: str) -> str:
    """The line without what differs from run to run."""
    for pattern, word in _VOLATILE:
        line = pattern.sub(word, line)
    return line.strip()


def rewrite(path: Path) -> bool:
    """Write what is printed now into a document if anything differs; returns whether a command failed.

    All of it then, so that the ids in it are those of one run; but what a `...` leaves out stays out.
    """
    text = path.read_text(encoding="utf-8")
    sessions = [session for language, session in read_blocks(text) if language == "console"]
    complaints: list[str] = []
    written: list[str] = []
    with EmbeddedServer() as server, tempfile.TemporaryDirectory() as folder, Shell(server, Path(folder)) as shell:
        for session in sessions:
            kept = []
            for step, now, wrong in run(shell, read_steps(session)):
                kept.append((step if "..." in step.shown and not wrong else now).text)
                complaints += [f"{path}: {step.typed}: {wrong}"] if wrong else []
            written.append("".join(kept))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if complaints:
        replacements = iter(written)
        path.write_text(
            _BLOCK.sub(
                lambda match: f"```console\n{next(replacements)}```" if match[1] == "console" else match[0], text
            ),
            encoding="utf-8",
        )
    return any("exit code" in complaint for complaint in complaints)


if __name__ == "__main__":
    failures = [rewrite(Path(name)) for name in sys.argv[1:]]
    sys.exit(any(failures))
