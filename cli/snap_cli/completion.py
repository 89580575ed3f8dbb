"""`snap completion`: what a shell needs to complete commands, options, snapshots and sources."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from snap_cli.context import App, command

__all__ = ["VARIABLE", "completion_command"]

VARIABLE = "_SNAP_COMPLETE"
_NAMES = ("snap", "snapstore")


@command(
    "completion",
    example="snap completion bash > ~/.local/share/bash-completion/completions/snap\n"
    'snap completion zsh > "${fpath[1]}/_snap"\n'
    "snap completion fish > ~/.config/fish/completions/snap.fish",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options, snapshots and names of sources in a shell.

    Put it where the shell looks for such scripts, as below, or evaluate it when the shell starts. It completes the
    name under which it was printed, `snap` or `snapstore`. Snapshots are those of the repository that a command typed
    so would use; of an encrypted one, or one in a bucket, only `latest` and `live` are offered.
    """
    app: App = context.obj
    program = Path(sys.argv[0]).stem
    made = get_completion_class(shell)
    assert made is not None
    source = made(context.find_root().command, {}, program if program in _NAMES else _NAMES[0], VARIABLE).source()
    if app.json:
        app.document({"shell": shell, "script": source})
    else:
        click.echo(source, nl=not source.endswith("\n"))
