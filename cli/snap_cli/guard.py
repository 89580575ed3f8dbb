"""`snap guard`: take a snapshot, run a command, show what it did to the memory, and go back if it went wrong."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from math import floor
from typing import Any

import click

from snap_cli.announcing import Announced
from snap_cli.completing import source_names
from snap_cli.context import App, command
from snap_cli.diff import difference_document, tell_difference
from snap_cli.errors import FAILED
from snap_cli.manifests import rows_in, tell_missing
from snap_cli.plans import plan_json
from snap_cli.render import clean, paint, plural
from snap_cli.sources import chosen_sources, open_named, url_of
from snap_cli.take import selection_from
from snap_cli.telling import tell_done
from snap_cli.typed import command_line
from snapstore.errors import Invalid, SnapstoreError
from snapstore.operations.diff import TableDiff, diff
from snapstore.operations.livestate import live_state
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, Restored, restore
from snapstore.operations.state import of_snapshot
from snapstore.operations.take import Request, take
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.sources import Source
from snapstore.sources.opening import schema_of

__all__ = ["guard_command"]

# A shell's way of saying that a signal ended a command.
_SIGNALLED = 128
_INTERRUPTS = 3


@dataclass(frozen=True, slots=True)
class _Limit:
    """The most rows that may be deleted, or changed: a number, or a share of those in the snapshot."""

    what: str
    text: str

    def most(self, rows: int) -> int:
        """As a number of rows."""
        if self.text.endswith("%"):
            return floor(rows * float(self.text[:-1]) / 100)
        return int(self.text)


class _LimitType(click.ParamType[str]):
    name = "N|N%"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"\d+|\d+(\.\d+)?%", value):
            self.fail(f"{value!r} is neither a number of rows nor a share of them such as 5%", param, ctx)
        return value


@command(
    "guard",
    example="snap guard -- alembic upgrade head\n"
    "snap guard --restore-on-failure --max-deletes 5% -- python manage.py migrate\n"
    "snap guard --source sqlite:///home/me/agents.db --tag clean-up -- ./forget-old-memories",
    cls=Announced,
)
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARGUMENT]...")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="URL|NAME",
    shell_complete=source_names,
    help="What to guard [as for `snap take`].",
)
@click.option("--tag", "tags", multiple=True, help="A name for the snapshot; may be given several times.")
@click.option("--max-deletes", type=_LimitType(), help="More rows deleted than this, or this share, is a failure.")
@click.option("--max-changes", type=_LimitType(), help="The same of rows added, changed or deleted.")
@click.option("--restore-on-failure", is_flag=True, help="Put everything back as it was, without being asked.")
@click.pass_context
def guard_command(
    context: click.Context,
    /,
    words: tuple[str, ...],
    sources: tuple[str, ...],
    tags: tuple[str, ...],
    max_deletes: str | None,
    max_changes: str | None,
    restore_on_failure: bool,
) -> None:
    """Take a snapshot, run a command, and show what the command did to the memory.

    If it fails, or deletes or changes more than it may, the way back is offered, or with --restore-on-failure gone:
    rows as in the snapshot, and tables whose shape changed made again as they were. Tables that the command made stay.

    Exits as the command did; with 1 where only a limit was exceeded. Without a snapshot the command is not run.
    """
    app: App = context.obj
    if shutil.which(words[0]) is None:
        raise Invalid(f"there is no command {words[0]!r}", hint="Nothing was run, and no snapshot taken.")
    limits = [_Limit(what, text) for what, text in (("deletes", max_deletes), ("changes", max_changes)) if text]
    repository = app.repository()
    requests = [
        Request(own.name, open_named(app, own), selection_from(own, schema_of(url_of(app, own))))
        for own in chosen_sources(app, sources)
    ]
    with app.progress() as progress:
        taken = take(
            repository, requests, tags=tags, description=f"before: {shlex.join(words)}"[:200], host=app.host,
            progress=progress,
        )  # fmt: skip
    snapshot = taken.snapshot
    for told in [*taken.unavailable, *(line for one in snapshot.sources for line in tell_missing(one))]:
        app.warn(told)
    app.say(f"snapshot {snapshot.id[:8]}: {plural(rows_in(snapshot), 'row')}; running: {clean(shlex.join(words))}")
    code = _run(words, app)
    pairs = [(held, one.source) for one in requests if (held := snapshot.source(one.name)) is not None]
    try:
        document, found = _difference(app, repository, snapshot, pairs)
    except SnapstoreError:
        app.warn(f"the command ended with {code}, and what it did could not be read; before it was {snapshot.id[:8]}")
        raise
    exceeded = [told for limit in limits if (told := _exceeded(limit, found, rows_in(snapshot)))]
    for told in exceeded:
        app.warn(told)
    restored: list[Restored] | None = None
    if (code or exceeded) and any(not one.is_equal for one in found):
        if code:
            app.warn(f"the command failed: exit code {code}")
        if restore_on_failure or _agrees(app):
            restored = _put_back(app, repository, snapshot, pairs, found)
        else:
            back = command_line(app, "restore", snapshot.id[:8], "--exact", "--recreate")
            app.say(f"to put everything back as it was: {back}")
    elif code:
        app.warn(f"the command failed: exit code {code}; the memory is as it was before")
    app.result(
        {
            "snapshot": snapshot.id,
            "words": list(words),
            "exit_code": code,
            "diff": document,
            "exceeded": exceeded,
            "restored": None if restored is None else [_restored_json(one) for one in restored],
        }
    )
    if code or exceeded:
        context.exit(code or FAILED)


# What follows the command's name is the command's own.
guard_command.context_settings["allow_interspersed_args"] = False


def _run(words: Sequence[str], app: App) -> int:
    """Run it in this terminal; its exit code as a shell would give it."""
    # With --json stdout is for the document.
    sys.stdout.flush()
    with subprocess.Popen(words, stdout=sys.stderr.fileno() if app.json else None) as process:
        try:
            for _ in range(_INTERRUPTS):
                # Ctrl-C reaches the command as well: it is the one to end, and what it did is shown then.
                with suppress(KeyboardInterrupt):
                    process.wait()
                    break
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    code = process.returncode
    return code if code >= 0 else _SIGNALLED - code


def _difference(
    app: App, repository: Repository, snapshot: Snapshot, pairs: Sequence[tuple[SnapshotSource, Source]]
) -> tuple[dict[str, Any], list[TableDiff]]:
    """What changed since the snapshot, told (or as a document) and counted."""
    with ExitStack() as stack:
        with app.progress() as progress:
            now = live_state(repository, snapshot, pairs, stack, progress)
        then = of_snapshot(repository, snapshot, pairs[0][0].name if len(pairs) == 1 else None)
        found = list(diff(then, now))
        if not app.json:
            tell_difference(app, then, now, found, None, rows=False, stat=False)
        return difference_document(then, now, snapshot, None, found, None, rows=False), found


def _exceeded(limit: _Limit, found: Sequence[TableDiff], rows: int) -> str:
    """In words, by how much; empty if it is kept."""
    number = sum(one.removed + (one.added + one.changed if limit.what == "changes" else 0) for one in found)
    most = limit.most(rows)
    if number <= most:
        return ""
    word = "deleted" if limit.what == "deletes" else "added, changed or deleted"
    return f"{plural(number, 'row')} {word}, and --max-{limit.what} {limit.text} allows {most:,}"


def _agrees(app: App) -> bool:
    return app.is_interactive and not app.json and click.confirm("Put everything back as it was before?", err=True)


def _put_back(
    app: App,
    repository: Repository,
    snapshot: Snapshot,
    pairs: Sequence[tuple[SnapshotSource, Source]],
    found: Sequence[TableDiff],
) -> list[Restored]:
    done: list[Restored] = []
    for held, live in pairs:
        ask = Ask(mode=Mode.EXACT, source=held.name, recreate=True)
        try:
            with app.progress() as progress:
                restored = restore(repository, snapshot, live, ask, host=app.host, progress=progress)
        except SnapstoreError:
            left = ", ".join(own.name for own, _ in pairs[len(done) :])
            again = command_line(app, "restore", snapshot.id[:8], "--exact", "--recreate")
            app.warn(f"not put back: {clean(left)}; `{clean(again)}` tries again")
            raise
        done.append(restored)
        if not app.json:
            app.out(f"{paint(held.name, 'bold')}  {clean(live.url)}")
            tell_done(app, restored)
    made = [one.name for one in found if one.only == "after"]
    if made:
        app.warn(f"tables made since the snapshot stay: {clean(', '.join(made))}")
    return done


def _restored_json(restored: Restored) -> dict[str, Any]:
    safety = restored.safety.id if restored.safety else None
    return {**plan_json(restored.plan), "safety": safety, "notes": list(restored.notes)}
