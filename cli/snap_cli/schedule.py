"""`snap schedule`: have snapshots taken at their time, and see whether they were."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from snap_cli.completing import source_names
from snap_cli.context import App, command, group
from snap_cli.render import clean
from snap_cli.runs import Result, Runs
from snap_cli.schedulers import KINDS, Job, choose, installed, windows_instruction
from snap_cli.sources import NAMING, named_sources, open_source
from snap_cli.timetable import Timetable
from snapstore.backends.places import is_url
from snapstore.digest import digest
from snapstore.errors import Invalid, NotFound

__all__ = ["Scheduled", "schedule_command", "scheduled"]

_TIMES = "times"
_NO_JOB = "job: none (`snap schedule install` makes one)"


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The job of this folder and repository: `where` is empty, and `scheduler` None, if none is installed."""

    name: str
    scheduler: str | None
    where: str
    times: Timetable | None
    last: Result | None
    log: Path


schedule_command = group(
    "schedule",
    "Take snapshots at their time: a job of this machine's own scheduler, for this folder's sources.",
    example="snap schedule install --daily 02:00\nsnap schedule status\nsnap schedule remove",
)


@command(
    "install",
    example="snap schedule install --daily 02:00\n"
    "snap schedule install --cron '*/15 * * * *' agents\n"
    "snap schedule install --daily 02:00 --with cron --print",
)
@click.argument("sources", nargs=-1, metavar="[URL|NAME]...", shell_complete=source_names)
@click.option("--daily", metavar="HH:MM", help="Every day at this local time.")
@click.option("--cron", metavar="TIMES", help="At these local times, as the five fields of a crontab entry.")
@click.option("--with", "kind", type=click.Choice(KINDS), help="The scheduler [the one that this machine has].")
@click.option("--print", "is_printed", is_flag=True, help="Only say what would be run, and how to do it by hand.")
@click.pass_obj
def install_command(
    app: App, sources: tuple[str, ...], daily: str | None, cron: str | None, kind: str | None, is_printed: bool
) -> None:
    """Install a job that takes a snapshot of these sources (all of snap.toml) and then removes old ones by its rules.

    With [sync] in snap.toml snapshots are copied to the other repository in between. Installing again changes the job.
    Other entries of the scheduler are not touched. Output goes to a log with rotation; a run is left out while the one
    before still goes on.
    """
    if (daily is None) == (cron is None):
        raise Invalid("say when", hint="Either --daily 02:00, or --cron '0 2 * * *'.")
    times = Timetable.daily(daily) if daily is not None else Timetable.parse(str(cron))
    _check(app, sources)
    job = Job(_name(app), times, _words(app, sources))
    if is_printed or sys.platform == "win32":
        if app.json:
            app.document({"job": job.name, "times": times.text, "words": list(job.words)})
            return
        app.out(f"every {times.text}: {shlex.join(job.words)}")
        app.out(f"on Windows: {windows_instruction(job)}")
        return
    app.repository()  # a job for a repository that does not open would fail every night
    earlier = installed(job.name, app.home, app.units)
    scheduler = choose(kind or (earlier[0].kind if earlier else None), app.home, app.units)
    if earlier is not None and earlier[0].kind != scheduler.kind:
        earlier[0].remove(job.name)
    where = scheduler.install(job)
    folder = _folder(app)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _TIMES).write_text(times.text, encoding="utf-8")
    due = times.after(datetime.now())  # noqa: DTZ005  # schedulers go by the local clock
    if told := scheduler.caveat():
        app.warn(told)
    if app.json:
        app.document({"job": job.name, "scheduler": scheduler.kind, "where": where, "next": due.isoformat()})
        return
    app.out(f"{job.name} is in {clean(where)}; next at {due:%Y-%m-%d %H:%M}")
    app.out(f"its log: {clean(str(Runs(folder).log))}")


@command("remove", example="snap schedule remove")
@click.pass_obj
def remove_command(app: App) -> None:
    """Remove the job of this folder's repository; snapshots and the log stay."""
    found = installed(_name(app), app.home, app.units)
    if found is None:
        raise NotFound("there is no job for this folder and repository", hint="`snap schedule install` makes one.")
    scheduler, where = found
    scheduler.remove(_name(app))
    if app.json:
        app.document({"removed": _name(app), "scheduler": scheduler.kind})
    else:
        app.out(f"removed {_name(app)} from {clean(where)}")


@command("status", example="snap schedule status")
@click.pass_context
def status_command(context: click.Context, /) -> None:
    """Say whether a job is installed, when it runs next, and how it ended last; exit 1 if it failed, or without one."""
    app: App = context.obj
    job = scheduled(app)
    last, is_there = job.last, bool(job.where)
    due = job.times.after(datetime.now()) if job.times and is_there else None  # noqa: DTZ005  # the local clock
    if app.json:
        app.document(
            {
                "job": job.name if is_there else None,
                "scheduler": job.scheduler,
                "where": job.where or None,
                "next": due.isoformat() if due else None,
                "last": None if last is None else {
                    "began": last.began, "ended": last.ended, "exit_code": last.exit_code,
                    "snapshot": last.snapshot or None, "words": last.words,
                },
                "log": str(job.log),
            }
        )  # fmt: skip
    else:
        app.out(f"job: {job.name} in {clean(job.where)}" if is_there else _NO_JOB)
        if due:
            app.out(f"next: {due:%Y-%m-%d %H:%M}")
        if last is None:
            app.out("last: never ran")
        else:
            ended = "done" if not last.exit_code else f"exit code {last.exit_code}: {clean(last.words)}"
            app.out(f"last: {last.began}, {ended}" + (f", snapshot {last.snapshot[:8]}" if last.snapshot else ""))
        app.out(f"log: {clean(str(job.log))}")
    if not is_there or (last is not None and last.exit_code):
        context.exit(1)


@command("run", example="snap schedule run      # what the scheduler runs")
@click.argument("sources", nargs=-1, metavar="[URL|NAME]...", shell_complete=source_names)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Where snap.toml is.")
@click.pass_context
def run_command(context: click.Context, /, sources: tuple[str, ...], folder: Path | None) -> None:
    """Do what a scheduled job does, now: take, then sync and gc as snap.toml says, into the log."""
    app: App = context.obj
    place = (folder or Path.cwd()).absolute()
    os.chdir(place)  # before snap.toml is looked for
    program = [sys.executable, "-m", "snap_cli"]
    runs = Runs(app.states / _named(app, place))
    gc = [] if not _has_rules(app) else [[*_common(app), "gc"]]
    sync = [] if app.settings.sync is None else [[*_common(app), "sync"]]
    result = runs.run([[*_common(app), "take", *sources], *sync, *gc], program, place)
    if app.json:
        app.document({"exit_code": result.exit_code, "snapshot": result.snapshot or None, "words": result.words})
    else:
        app.say(f"{result.words}; the log is {runs.log}")
    if result.exit_code:
        context.exit(result.exit_code)


for _one in (install_command, remove_command, status_command, run_command):
    schedule_command.add_command(_one)


def _has_rules(app: App) -> bool:
    return app.settings.retention is not None


def _check(app: App, sources: Sequence[str]) -> None:
    """Raise where the job could not do its work, or would have to know a secret."""
    lost = [name for name in app.given_in_environment if name != "SNAP_REPO"]
    if lost:
        raise Invalid(
            f"{', '.join(lost)} will not be set when the job runs",
            hint="Put sources in snap.toml, and name --passphrase-file or --passphrase-command.",
        )
    for text in sources:
        if app.settings.named(text):
            continue
        [source] = named_sources(app, text)
        has_secret = not source.url.startswith(("sqlite://", "file://"))  # whose URLs are written in many ways
        if has_secret and open_source(app, source.url).url != source.url:
            raise Invalid(
                "a URL with a password does not belong into a schedule",
                hint="Put the source in snap.toml, or the password in ~/.pgpass.",
            )
    if not sources and not app.settings.sources:
        raise Invalid("there is no source to take", hint=NAMING)


def _common(app: App) -> list[str]:
    place = app.place if is_url(app.place) else str(Path(app.place).expanduser().absolute())
    words = ["-r", place]
    if app.passphrase_file:
        words += ["--passphrase-file", str(Path(app.passphrase_file).expanduser().absolute())]
    if app.passphrase_command:
        words += ["--passphrase-command", app.passphrase_command]
    return words


def _words(app: App, sources: Sequence[str]) -> list[str]:
    folder = str(_place(app))
    return [sys.executable, "-m", "snap_cli", *_common(app), "schedule", "run", "-q", "--folder", folder, *sources]


def _place(app: App) -> Path:
    """Where snap.toml is, else this folder."""
    return app.settings.path.parent if app.settings.path is not None else Path.cwd()


def _name(app: App) -> str:
    return _named(app, _place(app))


def _named(app: App, place: Path) -> str:
    """One job for a folder and a repository, by the same name every time."""
    words = f"{place.absolute()}\n{_common(app)[1]}"
    return f"snapstore-{digest(words.encode()).hex()[:8]}"


def _folder(app: App) -> Path:
    return app.states / _name(app)


def scheduled(app: App) -> Scheduled:
    """What is known of the job. Raises `Unavailable` or `Invalid` where a scheduler cannot be asked."""
    runs, found = Runs(_folder(app)), installed(_name(app), app.home, app.units)
    try:
        times = Timetable.parse((_folder(app) / _TIMES).read_text(encoding="utf-8"))
    except (OSError, Invalid):
        times = None
    scheduler, where = found or (None, "")
    return Scheduled(_name(app), scheduler.kind if scheduler else None, where, times, runs.last(), runs.log)
