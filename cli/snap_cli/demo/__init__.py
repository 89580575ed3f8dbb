"""`snap demo`: the main job on real memories, in a PostgreSQL and a repository of its own, from beginning to end.

    snap demo
    snap demo --rows 20000 --keep

It is a test as well: it ends with 1 if a step did not do what it claims. Nothing is left of it, however it ends, unless
`--keep` asks for that. What happens is in `story`, whose memory it is in `agents`, how commands are shown in `stage`.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shlex import quote
from shutil import rmtree
from types import FrameType

import click

from snap_cli.context import App, command
from snap_cli.demo.agents import MINIMUM_ROWS
from snap_cli.demo.stage import Stage, stage_in
from snap_cli.demo.story import tell
from snap_cli.embedded import EmbeddedServer
from snap_cli.sample import ROWS
from snapstore.errors import Invalid, Unavailable

__all__ = ["demo_command"]


@command("demo", example="snap demo\nsnap demo --rows 20000 --keep")
@click.option(
    "--rows",
    type=click.IntRange(MINIMUM_ROWS),
    default=ROWS,
    show_default=True,
    help="How many memories; beyond the default they repeat with small differences.",
)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the repository goes [a temporary folder].")
@click.option("--keep", is_flag=True, help="Leave the database and the repository to play with.")
@click.pass_context
def demo_command(context: click.Context, rows: int, folder: Path | None, keep: bool) -> None:
    """Show the main job on real memories: take, lose, see what was lost, put it back.

    Runs in a PostgreSQL server of its own, which needs the extra `embedded`, and touches nothing else. Takes about
    twenty seconds.
    """
    app: App = context.obj
    if app.json:
        raise Invalid("the demo is for people and has no JSON", hint="Leave --json away.")
    with ExitStack() as stack:
        stack.enter_context(_hang_up_is_an_end())
        place = stack.enter_context(_place(folder))
        server = stack.enter_context(EmbeddedServer())
        url = server.create_database("agents").removesuffix("&port=5432")
        stage = stack.enter_context(stage_in(place.folder, context.find_root().command))
        tell(stage, server, url, rows)
        if keep:
            place.keep = True
            _tell_kept(stage, place.folder, server.folder, url, server.leave_running())
        else:
            stage.say("That was all, and nothing of it is left: `snap demo --keep` leaves it to play with.")


class _Place:
    """The demo's folder, and whether it stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keep = False


@contextmanager
def _place(folder: Path | None) -> Iterator[_Place]:
    """A new folder, which is gone afterwards unless it is to be kept. A folder that was there stays, empty."""
    was_there = folder is not None and folder.exists()
    try:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="snap-demo-"))
        elif was_there and any(folder.iterdir()):
            raise Invalid(f"{folder} is not empty", hint="Name a new or empty folder; the demo removes what it made.")
        else:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"{folder}: {error.strerror}", hint="Name another folder with --folder.") from error
    place = _Place(folder.absolute())
    try:
        yield place
    finally:
        if not place.keep:
            for name in (".snapstore", "snap.toml"):
                _remove(place.folder / name)
            if not was_there:
                with suppress(OSError):
                    place.folder.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir():
        rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _hang_up_is_an_end() -> Iterator[None]:
    """A closed terminal ends the demo as Ctrl-C does, so that it tidies up."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + number)

    if sys.platform == "win32":  # has no such signal
        yield
    else:
        before = signal.signal(signal.SIGHUP, end)
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)


def _tell_kept(stage: Stage, folder: Path, data: Path, url: str, process: int) -> None:
    stage.heading("All of it stays")
    stage.say("The database and its snapshots are yours to play with:")
    click.echo(
        f"""
  cd {quote(str(folder))}
  snap status                # every command finds snap.toml here
  snap undo --dry-run        # what it would take to have the damage back
  psql {quote(url)}

When you have seen enough (this stops the server, and removes its data in
{data}; a restart of the machine stops it too):

  kill {process}; rm -r {quote(str(folder))}"""
    )
