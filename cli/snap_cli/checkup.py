"""What `snap doctor` looks at: each check gives findings in words, and the command that helps.

    findings = list(checkup(app, names=(), max_age=None, verify_age=timedelta(days=8)))
    any(one.status is Status.TODO for one in findings)

Nothing is written anywhere, and no source is asked for anything. It does not know how findings are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from snap_cli.context import App
from snap_cli.manifests import tell_narrowed
from snap_cli.render import amount, clean, moment, plural
from snap_cli.schedule import Scheduled, scheduled
from snap_cli.take import MIN_FREE_BYTES
from snap_cli.typed import command_line
from snap_cli.verified import VerifyNotes
from snapstore.backends.directory import directory_of
from snapstore.errors import Invalid, SnapstoreError
from snapstore.operations.gc import STALE_SECONDS
from snapstore.operations.keys import key_list
from snapstore.operations.restorable import unrestorable
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.repository.listing import Listed, committed, read_all
from snapstore.repository.snapshot import PENDING

__all__ = ["Finding", "Status", "checkup"]

_DEFAULT_AGE = timedelta(hours=26)
"""Of the last snapshot, where neither an option nor a schedule says what is recent: a day, and time to take one."""

_GRACE = timedelta(hours=1)
_QUIET_SECONDS = 3600.0
_SHOWN = 3


class Status(StrEnum):
    """`TODO` is for a monitor to tell, a `NOTE` for a person to think about."""

    OK = "ok"
    NOTE = "note"
    TODO = "todo"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, of a source if it is about one; `command` is what to type, empty if nothing helps."""

    check: str
    status: Status
    told: str
    command: str = ""
    source: str | None = None


def checkup(
    app: App, *, names: Sequence[str], max_age: timedelta | None, verify_age: timedelta, now: datetime
) -> Iterator[Finding]:
    """Every finding. Raises `Invalid` for misuse, and nothing else: what cannot be looked at is a finding."""
    try:
        job: Scheduled | None = scheduled(app)
    except SnapstoreError as error:
        job = None
        yield _failed("schedule", error)
    try:
        repository = app.repository()
        there = read_all(repository)
    except Invalid:
        raise
    except SnapstoreError as error:
        yield _failed("repository", error)
    else:
        snapshots = [one for one in committed(there) if one.safety is None]
        told = f"{repository.location}: it opens, and has {plural(len(snapshots), 'snapshot')}"
        yield Finding("repository", Status.OK, told)
        yield from _guarded("recent", _sources(app, repository, snapshots, names, max_age, job, now))
        yield from _guarded("verified", _verified(app, repository, snapshots, verify_age, now))
        yield from _guarded("room", _room(app, repository))
        yield from _pendings(app, there, now)
        if repository.settings.is_encrypted:
            yield from _guarded("keys", _keys(app, repository))
    if job is not None:
        yield _schedule(app, job, now)


def _failed(check: str, error: SnapstoreError) -> Finding:
    return Finding(check, Status.TODO, f"{error.message}. {error.hint}".rstrip())


def _guarded(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except Invalid:
        raise
    except SnapstoreError as error:
        yield _failed(check, error)


def _sources(
    app: App,
    repository: Repository,
    snapshots: Sequence[Snapshot],
    names: Sequence[str],
    max_age: timedelta | None,
    job: Scheduled | None,
    now: datetime,
) -> Iterator[Finding]:
    """Each source: is its newest snapshot recent, complete, restorable? Those that are asked for, else of snap.toml."""
    known = list(dict.fromkeys(own.name for one in snapshots for own in one.sources))
    for name in names:
        if name not in known and not app.settings.named(name):
            raise Invalid(f"there is no source {clean(name)!r} in snap.toml or in a snapshot")
    wanted = [own.name for name in names for own in app.settings.named(name)]
    wanted += [name for name in names if not app.settings.named(name)]
    looked: set[str] = set()
    if not (wanted or app.settings.sources or known):
        yield Finding("recent", Status.TODO, "there is no snapshot yet", command_line(app, "take", "URL"))
    for name in wanted or list(app.settings.sources) or known:
        own = [(one, held) for one in snapshots if (held := one.source(name)) is not None]
        if not own:
            yield Finding(
                "recent", Status.TODO, "there is no snapshot of it yet", command_line(app, "take", name), name
            )
            continue
        snapshot, held = own[-1]
        yield _recent(app, snapshot, held, max_age, job, now)
        yield _complete(app, snapshot, held)
        if snapshot.id not in looked:
            looked.add(snapshot.id)
            yield _restorable(app, repository, snapshot)


def _recent(
    app: App, snapshot: Snapshot, held: SnapshotSource, max_age: timedelta | None, job: Scheduled | None, now: datetime
) -> Finding:
    age = now - snapshot.time
    told = f"the last snapshot is of {moment(snapshot.time)} ({snapshot.id[:8]}), {_ago(age)}"
    if tell_narrowed(held):
        told += f"; filtered: `{command_line(app, 'show', snapshot.id[:8])}` says how"
    if max_age is None and job is not None and job.where and job.times is not None:
        due = job.times.after(snapshot.time.astimezone().replace(tzinfo=None)).astimezone()
        late = now > due + _GRACE
        told += f"; by the schedule the next was due at {due:%Y-%m-%d %H:%M}" if late else ""
    else:
        late = age > (max_age or _DEFAULT_AGE)
        told += f", and {_span(max_age or _DEFAULT_AGE)} are allowed" if late else ""
    named = [held.name] if held.name in app.settings.sources else [held.url]
    return Finding(
        "recent", Status.TODO if late else Status.OK, told, command_line(app, "take", *named) if late else "", held.name
    )


def _complete(app: App, snapshot: Snapshot, held: SnapshotSource) -> Finding:
    if not held.missing:
        return Finding("complete", Status.OK, "nothing is missing in it", source=held.name)
    named = app.settings.sources.get(held.name)
    is_allowed = named is not None and named.selection.partial
    more = f", and {len(held.missing) - _SHOWN:,} more" if len(held.missing) > _SHOWN else ""
    told = f"not held: {clean('; '.join(held.missing[:_SHOWN]))}{more}"
    told += " (allow-partial allows it)" if is_allowed else ""
    status = Status.NOTE if is_allowed else Status.TODO
    return Finding("complete", status, told, command_line(app, "show", snapshot.id[:8]), held.name)


def _restorable(app: App, repository: Repository, snapshot: Snapshot) -> Finding:
    problems = unrestorable(repository, snapshot)
    if not problems:
        return Finding("restorable", Status.OK, f"all that {snapshot.id[:8]} needs is there")
    more = f", and {len(problems) - 1:,} more" if len(problems) > 1 else ""
    told = f"{snapshot.id[:8]} cannot be restored whole: {clean(problems[0])}{more}"
    return Finding("restorable", Status.TODO, told, command_line(app, "verify"))


def _verified(
    app: App, repository: Repository, snapshots: Sequence[Snapshot], verify_age: timedelta, now: datetime
) -> Iterator[Finding]:
    noted = VerifyNotes(app.states, repository).read()
    if noted.damage is not None:
        told = (
            f"`snap verify` ({noted.damage.depth}) found damage at {moment(noted.damage.ended)}; none since was without"
        )
        depth = ["--read-data"] if noted.damage.depth != "structure" else []
        yield Finding("verified", Status.TODO, told, command_line(app, "verify", *depth))
    elif snapshots:
        # What has been there for less than that need not have been verified yet.
        since = noted.last.ended if noted.last else snapshots[0].time
        late = now - since > verify_age
        told = "never by this user on this machine"
        if noted.last:
            told = f"{_ago(now - since)} ({noted.last.depth}), no damage"
        yield Finding(
            "verified",
            Status.TODO if late else Status.OK,
            told,
            command_line(app, "verify", "--sample", "10%") if late else "",
        )
    if noted.restore_test is not None and noted.restore_test.damaged:
        told = f"the restore test at {moment(noted.restore_test.ended)} found differences"
        yield Finding("verified", Status.TODO, told, command_line(app, "verify", "--restore-test"))


def _room(app: App, repository: Repository) -> Iterator[Finding]:
    room, directory = app.settings.room, directory_of(repository.backend)
    if room.max_bytes is not None:
        held = sum(pack.size_bytes for pack in repository.blobs.packs())
        full = held > room.max_bytes
        told = f"{amount(held)} of {amount(room.max_bytes)} that max-size allows"
        yield Finding(
            "room", Status.TODO if full else Status.OK, told, command_line(app, "gc", "--dry-run") if full else ""
        )
    if directory is None:
        return
    free, least = directory.free_bytes(), room.min_free_bytes or MIN_FREE_BYTES
    full = free < least
    told = f"{amount(free)} are free" + (f", and {amount(least)} must be for a take" if full else "")
    yield Finding(
        "room", Status.TODO if full else Status.OK, told, command_line(app, "gc", "--dry-run") if full else ""
    )


def _pendings(app: App, there: Sequence[Listed], now: datetime) -> Iterator[Finding]:
    """What works says so every ten minutes; gc gives up what was quiet for a day."""
    quiet = [(one, now.timestamp() - one.modified) for one in there if one.snapshot.state == PENDING]
    left = [one for one, seconds in quiet if seconds > STALE_SECONDS]
    still = [one for one, seconds in quiet if _QUIET_SECONDS < seconds <= STALE_SECONDS]
    if left:
        told = f"{plural(len(left), 'take or other work was', 'takes or other works were')} interrupted and not cleared"
        command = command_line(app, "gc", *([] if app.settings.retention else ["--keep-all"]))
        yield Finding("pending", Status.TODO, f"{told}, the first of {moment(left[0].snapshot.time)}", command)
    if still:
        told = f"{plural(len(still), 'take or other work', 'takes or other works')} said nothing for an hour"
        yield Finding("pending", Status.NOTE, f"{told}: interrupted, or stuck; gc gives it up after a day")
    if not left and not still:
        yield Finding("pending", Status.OK, "nothing interrupted is left")


def _keys(app: App, repository: Repository) -> Iterator[Finding]:
    found = key_list(repository)
    for error in (one for one in found if isinstance(one, SnapstoreError)):
        yield Finding("keys", Status.TODO, clean(f"{error.message}. {error.hint}"), command_line(app, "key", "list"))
    usable = sum(not isinstance(one, SnapstoreError) for one in found)
    if usable > 1:
        yield Finding("keys", Status.OK, f"{usable} passphrases open it")
    else:
        told = "one passphrase opens it: without that nobody can read it; a second one may be kept elsewhere"
        yield Finding("keys", Status.NOTE, told, command_line(app, "key", "add", "--label", "spare"))


def _schedule(app: App, job: Scheduled, now: datetime) -> Finding:
    if not job.where:
        told = "no job is installed for this folder and repository"
        if job.last is None:
            return Finding("schedule", Status.NOTE, told, command_line(app, "schedule", "install", "--daily", "02:00"))
        return _of_last(app, job, f"{told}, but something ran it {_ago(now - _ended(job))}")
    if job.last is None:
        # An installed job that never came to run is late by what the snapshots say.
        return Finding("schedule", Status.OK, f"{job.name} is in {clean(job.where)}; it has not run yet")
    if job.times is not None:
        due = job.times.after(datetime.fromisoformat(job.last.began).astimezone().replace(tzinfo=None)).astimezone()
        if now > due + _GRACE:
            told = f"{job.name} is in {clean(job.where)}; no run has ended since it was due at {due:%Y-%m-%d %H:%M}"
            return Finding("schedule", Status.TODO, told, command_line(app, "schedule", "status"))
    return _of_last(app, job, f"{job.name} is in {clean(job.where)}; it ran {_ago(now - _ended(job))}")


def _of_last(app: App, job: Scheduled, told: str) -> Finding:
    assert job.last is not None
    if not job.last.exit_code:
        return Finding("schedule", Status.OK, told)
    told += f" and ended with exit code {job.last.exit_code}: {clean(job.last.words)}; its log: {clean(str(job.log))}"
    return Finding("schedule", Status.TODO, told, command_line(app, "schedule", "run"))


def _ended(job: Scheduled) -> datetime:
    return datetime.fromisoformat(job.last.ended) if job.last else datetime.now(UTC)


def _ago(age: timedelta) -> str:
    return f"{_span(age)} ago" if age >= timedelta(minutes=1) else "just now"


def _span(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    if minutes < 120:
        return plural(minutes, "minute")
    return plural(minutes // 60, "hour") if minutes < 72 * 60 else plural(minutes // 1440, "day")
