"""The command line `snap`: one group of commands, and what happens when one of them fails.

    main()

Every command parses, calls one operation and prints. Errors become one sentence, a hint and an exit code here; a
traceback is shown only to those who ask for it (-vv or SNAP_DEBUG).
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, MutableMapping, Sequence
from importlib import import_module
from types import FrameType
from typing import Any

import click
from click.shell_completion import CompletionItem

from snap_cli.context import App, common_options, show_help_without_command
from snap_cli.errors import Interrupted, failure_of, secrets_in, without_secrets
from snap_cli.render import safe
from snapstore.repository.repository import PROGRAM

__all__ = ["cli", "main"]

# Where each command is and what its help says first: to list them all, none need be imported.
_COMMANDS = {
    "init": (
        "snap_cli.init",
        "Make a new repository in PATH, or where -r, SNAP_REPO or snap.toml say (else ./.snapstore).",
    ),
    "take": (
        "snap_cli.take",
        "Take a snapshot of databases and folders: a consistent state of each, stored without what is there already.",
    ),
    "list": ("snap_cli.list", "List the snapshots, oldest first."),
    "sources": ("snap_cli.probing", "Look at sources as a take would: are they there, and what would be held."),
    "show": ("snap_cli.show", "Show a snapshot, a table of it, or one row."),
    "log": (
        "snap_cli.log",
        "Show the history of one row: when it appeared, each change, when it vanished and came back.",
    ),
    "find": (
        "snap_cli.find",
        "Find a text in all snapshots: in columns of text and JSON, arrays of text, and keys, large values too.",
    ),
    "diff": ("snap_cli.diff", "Show what changed from one snapshot to another."),
    "status": ("snap_cli.status", "Compare the live rows with the last snapshot: the same as `snap diff latest live`."),
    "restore": (
        "snap_cli.restore",
        "Put back what a snapshot holds: rows that are missing, and with --conflict update or --exact those that "
        "differ.",
    ),
    "undo": (
        "snap_cli.undo",
        "Take back the last restore, or the one that a safety snapshot preceded: the rows it touched, and no others.",
    ),
    "stats": (
        "snap_cli.stats",
        "Show where the space goes: by source, table and kind of blob, and what each snapshot alone takes.",
    ),
    "guard": (
        "snap_cli.guard",
        "Take a snapshot, run a command, and show what the command did to the memory.",
    ),
    "schedule": (
        "snap_cli.schedule",
        "Take snapshots at their time: a job of this machine's own scheduler, for this folder's sources.",
    ),
    "doctor": (
        "snap_cli.doctor",
        "Say whether all is well: recent, whole, verified and scheduled snapshots, and room for more.",
    ),
    "bundle": (
        "snap_cli.bundle",
        "Put snapshots into one file, to be carried to another machine and read by `snap unbundle`.",
    ),
    "unbundle": (
        "snap_cli.unbundle",
        "Put the snapshots of a bundle into the repository; what is there already is passed over.",
    ),
    "export": (
        "snap_cli.export",
        "Write the rows of a snapshot, or of `live`, into files: JSON, JSON lines, CSV, Parquet, or Markdown to read.",
    ),
    "import": (
        "snap_cli.import_",
        "Read back what `snap export` wrote: as a snapshot, and from there into a live source.",
    ),
    "gc": ("snap_cli.gc", "Remove the snapshots that no rule keeps, and give back the space of what none needs."),
    "rm": ("snap_cli.rm", "Remove snapshots; all of those named, or none if one of them is pinned or not there."),
    "pin": ("snap_cli.pin", "Keep snapshots: neither `gc` nor `rm` removes a pinned one."),
    "unpin": ("snap_cli.pin", "Leave snapshots to the policy again."),
    "tag": ("snap_cli.tag", "Give a snapshot names, or take them away."),
    "verify": (
        "snap_cli.verify",
        "Check that the repository is as it was written, and that snapshots (all, if none is named) are whole.",
    ),
    "repair": (
        "snap_cli.repair",
        "Mend a damaged repository: rebuild its index, heal its blobs, and cut off what stays damaged.",
    ),
    "copy": (
        "snap_cli.copy",
        "Copy snapshots into another repository: off site, into a bucket, an encrypted one, or back.",
    ),
    "sync": (
        "snap_cli.sync",
        "Copy every snapshot that is not there yet into the repository of [sync] in snap.toml.",
    ),
    "key": ("snap_cli.key", "The keys of an encrypted repository: each is a passphrase that opens it."),
    "config": ("snap_cli.config", "What holds here: options, the environment, snap.toml and defaults, in this order."),
    "cache": (
        "snap_cli.cache",
        "What this machine keeps of repositories in buckets: it can be deleted at any time.",
    ),
    "completion": (
        "snap_cli.completion",
        "Print the script that completes commands, options, snapshots and names of sources in a shell.",
    ),
    "man": ("snap_cli.man", "Write the manual pages: snap(1), and one for each command, such as snap-take(1)."),
    "demo": ("snap_cli.demo", "Show the main job on real memories: take, lose, see what was lost, put it back."),
}
_ALIASES = {"backup": "take", "snapshots": "list", "prune": "gc", "check": "verify"}
_SECRETS = (
    "SNAP_PASSPHRASE", "SNAP_TO_PASSPHRASE", "SNAP_FROM_PASSPHRASE",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_CLIENT_SECRET", "GOOGLE_SERVICE_ACCOUNT_KEY",
)  # fmt: skip
_BROKEN_PIPE = 128 + 13  # as a shell tells of SIGPIPE, which Windows does not have


class _Commands(MutableMapping[str, click.Command]):
    """The commands by name, each imported when it is asked for: one does not wait for what the others need."""

    def __init__(self) -> None:
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            self._loaded[name] = getattr(import_module(_COMMANDS[name][0]), f"{name}_command")
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError("the commands of this program are given")

    def __contains__(self, name: object) -> bool:
        return name in _COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)


class SnapGroup(click.Group):
    """The commands, with restic's words for some of them, and errors told in one way."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name or alias."""
        return super().get_command(ctx, _ALIASES.get(cmd_name, cmd_name))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Commands and what they are for, without loading them, and options."""
        own = [
            CompletionItem(name, help=click.Command(name, help=told).get_short_help_str(72))
            for name, (_, told) in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*own, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, as click writes it."""
        limit = formatter.width - 6 - max(map(len, _COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, click.Command(name, help=told).get_short_help_str(limit))
                    for name, (_, told) in sorted(_COMMANDS.items())
                ]
            )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C becomes an error like any other."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            failure = failure_of(error)
            raise Interrupted(failure.message, hint=failure.hint) from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run and exit with the code of DESIGN §9."""
        words = list(sys.argv[1:] if args is None else args)
        app = App(secrets=_secrets(words))
        try:
            code = super().main(words, prog_name, complete_var, standalone_mode=False, obj=app, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_stdout()
            code = _BROKEN_PIPE
        except Exception as error:  # noqa: BLE001  # whatever it is, a person gets one sentence
            code = _report(error, app, words)
        sys.exit(code if isinstance(code, int) else 0)


def _secrets(words: Sequence[str]) -> list[str]:
    """What the command line and the environment have that is to be shown nowhere."""
    named = [os.environ[name] for name in _SECRETS if os.environ.get(name)]
    return secrets_in([*words, os.environ.get("SNAP_SOURCE", "")]) + named


def _report(error: BaseException, app: App, words: Sequence[str]) -> int:
    command = next((_ALIASES.get(word, word) for word in words if _ALIASES.get(word, word) in cli.commands), "")
    failure = failure_of(error, command=command, secrets=app.secrets)
    if app.is_debugging:
        shown = "".join(traceback.format_exception(error))
        app.err(without_secrets(shown, app.secrets).rstrip())
    # Misuse may be found before the option is read.
    if app.json or "--json" in words:
        click.echo(json.dumps(failure.document), err=True)
    else:
        app.err(safe(failure.text))
    return failure.exit_code


def _forget_stdout() -> None:
    """Who read us is gone; what is still buffered must not fail once more at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return


@click.group(
    cls=SnapGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nA first session:\n"
    "  snap init\n"
    "  snap take postgresql://me@localhost/agents\n"
    "  snap status\n"
    "  snap restore latest --dry-run",
)
@common_options
@click.version_option(PROGRAM.partition(" ")[2], prog_name="snap")
@click.pass_context
def cli(context: click.Context) -> None:
    """Snapshots of AI agents' memory: take them, see what changed, put back what is missing."""
    show_help_without_command(context)


cli.commands = _Commands()


def main() -> None:
    """The entry point of the console scripts."""
    # What was imported stays, and what a command makes is lists of small values that die by reference count: looking
    # for cycles among them took up to a tenth of a take (measured).
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    # Threads that hash and compress give the interpreter's lock away and want it back at once; waiting 5 ms for each
    # turn cost a sixth of a take (measured).
    sys.setswitchinterval(0.0005)
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    cli(prog_name="snap")


def _terminate(number: int, frame: FrameType | None) -> None:
    # As Ctrl-C: what has begun is rolled back and given up on the way out.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)
