"""Where the demo plays: `snap` commands run as a person types them, what they print is seen, claims are checked.

    with stage_in(folder) as stage:
        stage.say("Nothing has happened yet.")
        stage.snap("list")
        stage.check("there is one snapshot", len(stage.ask("list")) == 1)

Commands run in this process through the same group that the console script runs. This module knows no story.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import click

from snap_cli.render import columns, paint
from snapstore.errors import SnapstoreError

__all__ = ["Failed", "Stage", "stage_in"]

_WIDTH = 78

# How a command says that it was told to stop; anything else is for the story to judge.
_STOPPED = (129, 130, 143)

# What the person's own settings say is not the demo's business.
_FOREIGN = ("SNAP_", "PG")


class Failed(SnapstoreError):
    """The demo did not do what it says."""

    code = "failed"


class Stage:
    """Prints the demo and runs its commands in the current folder."""

    def __init__(self, group: click.Command) -> None:
        self._group = group

    def say(self, text: str) -> None:
        """A paragraph of narration."""
        click.echo("\n" + "\n".join(textwrap.wrap(text, _WIDTH, break_on_hyphens=False, break_long_words=False)))

    def heading(self, text: str) -> None:
        """The next part."""
        self._show("\n" + paint(f"── {text} " + "─" * max(0, _WIDTH - len(text) - 4), "bold"))

    def table(self, rows: list[list[str]]) -> None:
        """Rows under a heading; all but the first column are numbers."""
        self._show("\n" + columns(rows, right=set(range(1, len(rows[0])))))

    def file(self, path: str) -> None:
        """A file, as `cat` shows it."""
        self._show("\n" + paint(f"$ cat {shlex.quote(path)}", "cyan"))
        click.echo(Path(path).read_text(encoding="utf-8").rstrip())

    def snap(self, *words: str) -> None:
        """Run a command before everybody's eyes. Raises `Failed` if it does not exit with 0."""
        typed = " ".join(["snap", *(shlex.quote(word) for word in words)])
        self._show("\n" + paint(f"$ {typed}", "cyan"))
        sys.stdout.flush()
        code = self._run(words)
        sys.stderr.flush()
        if code:
            raise Failed(f"`{typed}` ended with exit code {code}")

    def ask(self, *words: str) -> Any:
        """The JSON document of a command that nobody sees."""
        said, complaints = io.StringIO(), io.StringIO()
        with redirect_stdout(said), redirect_stderr(complaints):
            code = self._run([*words, "--json"])
        if code:
            raise Failed(
                f"`snap {' '.join(words)} --json` ended with exit code {code}: {complaints.getvalue().strip()}"
            )
        return json.loads(said.getvalue())

    def check(self, claim: str, holds: bool) -> None:
        """Raise `Failed` unless the claim holds."""
        if not holds:
            raise Failed(f"this is not so: {claim}", hint="This is a bug: please report it with the output above.")

    def changes(self, before: str, after: str) -> dict[str, Mapping[str, Any]]:
        """What `snap diff` counts, by table; only tables that differ."""
        tables = self.ask("diff", before, after)["tables"]
        return {one["name"]: one for one in tables if one["added"] or one["removed"] or one["changed"]}

    def _run(self, words: Sequence[str]) -> int:
        code = 0
        try:
            self._group.main(list(words), prog_name="snap")
        except SystemExit as end:
            if end.code in _STOPPED:
                raise
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return code

    def _show(self, text: str) -> None:
        plain = not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        click.echo(text, color=not plain)


@contextmanager
def stage_in(folder: Path, group: click.Command) -> Iterator[Stage]:
    """A stage whose commands run in this folder, with the person's settings out of the way."""
    foreign = {name: value for name, value in os.environ.items() if name.startswith(_FOREIGN)}
    with ExitStack() as stack:
        stack.enter_context(chdir(folder))
        stack.callback(os.environ.update, foreign)
        for name in foreign:
            del os.environ[name]
        yield Stage(group)
