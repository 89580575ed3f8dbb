"""The command line as a test uses it: in this process, or as a program of its own.

snap = Snap(folder)
snap("take", url)                   # asserts exit code 0
snap("show", "nothing", code=1)
snap.json("list")                   # the one document on stdout
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from click.testing import CliRunner, Result

from snap_cli.main import cli

PROGRAM = [sys.executable, "-m", "snap_cli"]


@dataclass(frozen=True)
class Snap:
    """Runs `snap` in a folder, which must be the working directory."""

    folder: Path

    def __call__(
        self, *words: str, code: int = 0, answer: str | None = None, env: dict[str, str] | None = None
    ) -> Result:
        result = CliRunner().invoke(cli, list(words), input=answer, env=env, prog_name="snap")
        told = f"snap {' '.join(words)}\n{result.stdout}{result.stderr}"
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise AssertionError(told) from result.exception
        assert result.exit_code == code, f"exit {result.exit_code}, not {code}: {told}"
        return result

    def json(self, *words: str, code: int = 0, env: dict[str, str] | None = None) -> Any:
        """The document that the command prints."""
        return json.loads(self(*words, "--json", code=code, env=env).stdout)

    def error(self, *words: str, code: int) -> dict[str, str]:
        """The error document that the command prints instead."""
        result = self(*words, "--json", code=code)
        assert result.stdout == ""
        document = json.loads(result.stderr.strip().splitlines()[-1])
        assert set(document) == {"message_type", "code", "message", "hint"}
        assert document["message_type"] == "error"
        return dict(document)

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """The program as a process of its own."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        given = {"cwd": self.folder, "env": environment(), **pipes, **options}
        return subprocess.Popen([*PROGRAM, *words], **given)


def environment(**more: str) -> dict[str, str]:
    """This process's, with the modules under test on the path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **more}


def run(url: str, statements: str) -> None:
    """Execute statements."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()
