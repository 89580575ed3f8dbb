"""Commands that a person is told to type: with the repository where it was named, and quoted for a shell.

    app.say(f"next: {command_line(app, 'gc', '--keep-all')}")      # snap -r /backups gc --keep-all

What snap.toml or the environment says of the repository holds for the next command as well, and is not repeated.
"""

from __future__ import annotations

import shlex

from snap_cli.context import App

__all__ = ["command_line", "typed"]


def typed(app: App, *words: str) -> list[str]:
    """The words of a command on the repository of this one."""
    return ["snap", *(["-r", app.repo] if app.repo else []), *words]


def command_line(app: App, *words: str) -> str:
    """These words as one line."""
    return shlex.join(typed(app, *words))
