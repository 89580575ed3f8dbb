"""`snap guard`: take a snapshot, run a command, show what it did to the memory, and go back if it went wrong."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
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
from snapstore.operations.guard import Back, Did, Limit, Pairs, look, put_back
from snapstore.operations.restore import Restored
from snapstore.operations.state import LIVE
from snapstore.operations.take import Request, take
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.sources import Source
from snapstore.sources.opening import schema_of

__all__ = ["guard_command"]

# A shell's way of saying that a signal ended a command.
_SIGNALLED = 128
_INTERRUPTS = 3


class _LimitType(click.ParamType[str]):
    name = "N|N%"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            Limit("deletes", value)
        except Invalid as error:
            self.fail(error.message, param, ctx)
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
@click.option(
    "--max-deletes", type=_LimitType(), help="More deleted than so many rows, or this share of them, is a failure."
)
@click.option("--max-changes", type=_LimitType(), help="The same of what was added, changed or deleted.")
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
    limits = [Limit("deletes", max_deletes)] if max_deletes else []
    limits += [Limit("changes", max_changes)] if max_changes else []
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
        with app.progress() as progress:
            did = look(repository, snapshot, pairs, progress=progress)
    except SnapstoreError:
        app.warn(f"the command ended with {code}, and what it did could not be read; before it was {snapshot.id[:8]}")
        raise
    if not app.json:
        _tell(app, did)
    exceeded = [told for limit in limits if (told := did.exceeded(limit))]
    for told in exceeded:
        app.warn(told)
    back: Back | None = None
    if (code or exceeded) and not did.is_nothing:
        if code:
            app.warn(f"the command failed: exit code {code}")
        if restore_on_failure or _agrees(app):
            back = _put_back(app, repository, snapshot, pairs)
        else:
            again = command_line(app, "restore", snapshot.id[:8], "--exact", "--recreate")
            app.say(f"to put everything back as it was: {again}")
    elif code:
        app.warn(f"the command failed: exit code {code}; the memory is as it was before")
    app.result(
        {
            "snapshot": snapshot.id,
            "words": list(words),
            "exit_code": code,
            "diff": difference_document(snapshot, None, did.tables),
            "definitions": [
                {"source": one.source, "name": one.name, "what": one.what.value} for one in did.definitions
            ],
            "exceeded": exceeded,
            "restored": None if back is None else [_restored_json(one) for one in back.restored],
            "left": None if back is None else list(back.left),
        }
    )
    if back is not None and back.failed:
        raise back.failed[0].error
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


def _tell(app: App, did: Did) -> None:
    several = len({one.source for one in did.tables}) > 1
    if not did.definitions or not all(one.is_equal for one in did.tables):
        tell_difference(app, did.snapshot.id[:8], LIVE, did.tables)
    else:
        app.out(f"from {did.snapshot.id[:8]} to {LIVE}:")
    for one in did.definitions:
        told = f"{one.source}: {one.name}" if several else one.name
        app.out(f"  {paint(clean(told), 'bold')}  ({one.what.value})")


def _agrees(app: App) -> bool:
    return app.is_interactive and not app.json and click.confirm("Put everything back as it was before?", err=True)


def _put_back(app: App, repository: Repository, snapshot: Snapshot, pairs: Pairs) -> Back:
    def told(held: SnapshotSource, live: Source, restored: Restored) -> None:
        if not app.json:
            app.out(f"{paint(held.name, 'bold')}  {clean(live.url)}")
            tell_done(app, restored)

    with app.progress() as progress:
        back = put_back(repository, snapshot, pairs, host=app.host, progress=progress, told=told)
    for one in back.failed:
        only = ["--source", one.source] if len(snapshot.sources) > 1 else []
        again = command_line(app, "restore", snapshot.id[:8], "--exact", "--recreate", *only)
        app.warn(f"{clean(one.source)} was not put back: {clean(one.error.message)}; `{clean(again)}` tries again")
    if back.made:
        app.warn(f"tables made since the snapshot stay: {clean(', '.join(back.made))}")
    if other := [one for one in back.left if one not in back.made]:
        app.warn(f"still not as it was: {clean(', '.join(other))}")
    return back


def _restored_json(restored: Restored) -> dict[str, Any]:
    safety = restored.safety.id if restored.safety else None
    return {**plan_json(restored.plan), "safety": safety, "notes": list(restored.notes)}
