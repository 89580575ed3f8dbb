"""Which snapshots a policy keeps, and why: pure, so it can be shown before anything is removed.

    for choice in choose(repository.snapshots(), Policy(keep_daily=7, keep_weekly=5), now):
        choice.snapshot.id, choice.keep, choice.reasons

The rules are restic's: newest first, each rule keeps the newest snapshot of each of its last N calendar periods, and
the union is kept. Snapshots are judged among those of the same sources. It removes nothing (`snapstore.operations.gc`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from snapstore.errors import Invalid
from snapstore.repository import Snapshot

__all__ = [
    "SAFETY_KEPT",
    "Choice",
    "Policy",
    "choose",
    "duration_words",
    "is_ahead",
    "is_expendable",
    "parse_duration",
]

SAFETY_KEPT = timedelta(days=30)
"""How long the state before a restore is kept, whatever the policy says."""

_SKEW = timedelta(hours=1)  # clocks differ a little, and nothing is wrong


@dataclass(frozen=True, slots=True)
class Policy:
    """How many to keep: the last so many, and the newest of so many hours, days, ISO weeks, months and years (UTC).

    `keep_within` keeps what is at most so much older than the newest snapshot of the same sources, not older than now:
    where takes have stopped, nothing runs out. `keep_tags` keeps whatever has one of these tags.
    """

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within: timedelta | None = None
    keep_tags: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing to be kept."""
        return not any(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True)
class Choice:
    """What becomes of a snapshot: kept for these `reasons`, or removed for want of one."""

    snapshot: Snapshot
    keep: bool
    reasons: tuple[str, ...]


# Restic's rules in the order in which reasons are given: the policy's field, its word, and the period of a time.
_PERIODS: tuple[tuple[str, str, Callable[[datetime], tuple[int, ...]]], ...] = (
    ("keep_hourly", "hourly", lambda time: (time.year, time.month, time.day, time.hour)),
    ("keep_daily", "daily", lambda time: (time.year, time.month, time.day)),
    ("keep_weekly", "weekly", lambda time: tuple(time.isocalendar()[:2])),
    ("keep_monthly", "monthly", lambda time: (time.year, time.month)),
    ("keep_yearly", "yearly", lambda time: (time.year,)),
)


def choose(snapshots: Sequence[Snapshot], policy: Policy, now: datetime) -> list[Choice]:
    """A choice for each of these snapshots, in their order. Raises `Invalid` for a policy that keeps nothing.

    Always kept: what is pinned; the newest snapshot of each set of sources; what is dated in the future, and counts for
    nothing till then, since it would push out all that is taken until that day; and the states before restores for
    `SAFETY_KEPT`, after which only a pin, a tag or `keep_within` keeps them (no count does: they would push out
    snapshots that somebody asked for, or the other way round). Their age is counted back from the newest snapshot of
    all, and never from a time in the future: neither a clock gone wrong nor takes that have stopped removes one early.
    """
    if any(getattr(policy, field) < 0 for field in ("keep_last", *(period[0] for period in _PERIODS))):
        raise Invalid("a policy cannot keep fewer than 0 snapshots")
    if policy.keep_within is not None and policy.keep_within < timedelta(0):
        raise Invalid("a policy cannot keep what is within less than no time")
    if policy.is_empty:
        raise Invalid(
            "the policy keeps nothing, so every snapshot would be removed",
            hint="Say what to keep, as in `--keep-daily 7`, or remove snapshots by name with `snap rm`.",
        )
    groups: dict[tuple[frozenset[str], bool], list[Snapshot]] = {}
    for snapshot in sorted(snapshots, key=lambda one: (one.time, one.id), reverse=True):
        names = frozenset(source.name for source in snapshot.sources)
        groups.setdefault((names, snapshot.safety is not None), []).append(snapshot)
    reasons: dict[str, list[str]] = {snapshot.id: [] for snapshot in snapshots}
    latest = _latest(snapshots, now)
    for (_, is_safety), group in groups.items():
        for snapshot, reason in _always(group, policy, now):
            reasons[snapshot.id].append(reason)
        for snapshot, reason in _safety(group, latest) if is_safety else _counted(group, policy, now):
            reasons[snapshot.id].append(reason)
    return [Choice(snapshot, bool(reasons[snapshot.id]), tuple(reasons[snapshot.id])) for snapshot in snapshots]


def is_ahead(snapshot: Snapshot, now: datetime) -> bool:
    """Whether a snapshot is dated in the future: the clock of whoever took it was wrong, or this one is."""
    return snapshot.time > now + _SKEW


def _latest(snapshots: Sequence[Snapshot], now: datetime) -> datetime:
    """The newest time that is not in the future; now if there is none."""
    return max((snapshot.time for snapshot in snapshots if snapshot.time <= now), default=now)


def _always(group: Sequence[Snapshot], policy: Policy, now: datetime) -> Iterator[tuple[Snapshot, str]]:
    """Pins, tags and `keep_within`; the group is newest first."""
    latest = _latest(group, now)
    for snapshot in group:
        if snapshot.pinned:
            yield snapshot, "pinned"
        for tag in policy.keep_tags:
            if tag in snapshot.tags:
                yield snapshot, f"tag {tag}"
        if policy.keep_within is not None and latest - snapshot.time <= policy.keep_within:
            yield snapshot, f"within {duration_words(policy.keep_within)}"


def _safety(group: Sequence[Snapshot], latest: datetime) -> Iterator[tuple[Snapshot, str]]:
    for snapshot in group:
        if latest - snapshot.time <= SAFETY_KEPT:
            yield snapshot, f"before a restore, within {duration_words(SAFETY_KEPT)}"


def _counted(group: Sequence[Snapshot], policy: Policy, now: datetime) -> Iterator[tuple[Snapshot, str]]:
    """The newest of each period; the group is newest first."""
    ahead = [snapshot for snapshot in group if is_ahead(snapshot, now)]
    yield from ((snapshot, "dated in the future") for snapshot in ahead)
    group = group[len(ahead) :]
    if not group:
        return
    yield group[0], "newest of its sources"
    for snapshot in group[: policy.keep_last]:
        yield snapshot, "last"
    for field, word, period in _PERIODS:
        left, previous = int(getattr(policy, field)), None
        for snapshot in group:
            own = period(snapshot.time.astimezone(UTC))
            # Restic's: while there is room the oldest stays too, so the history is as long as it can be.
            if left and (own != previous or snapshot is group[-1]):
                yield snapshot, word if own != previous else f"oldest {word}"
                left -= 1
            previous = own


def duration_words(duration: timedelta) -> str:
    """Days, or hours where it is no whole number of days, for people."""
    hours = round(duration / timedelta(hours=1))
    return f"{hours // 24} days" if hours % 24 == 0 else f"{hours} hours"


def is_expendable(choice: Choice) -> bool:
    """Whether a snapshot is kept by counts alone: then it may go where room is needed, the oldest first."""
    counted = {"last", *(word for _, word, _ in _PERIODS), *(f"oldest {word}" for _, word, _ in _PERIODS)}
    return choice.keep and counted.issuperset(choice.reasons)


_DURATION = re.compile(r"(?=\d)(?:(\d+)y)?(?:(\d+)m)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?")
# The longest month and year there are: what is meant to be kept for a month is never a day short.
_UNIT_HOURS = (366 * 24, 31 * 24, 7 * 24, 24, 1)


def parse_duration(text: str) -> timedelta:
    """`30d`, `12h`, `2w`, `6m`, `1y`, or several from large to small: `1y6m`. Raises `Invalid`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Invalid(f"{text!r} is not a duration", hint="Write 30d, 12h, 2w, 6m, 1y, or several: 1y6m.")
    try:
        return timedelta(hours=sum(int(n or 0) * unit for n, unit in zip(match.groups(), _UNIT_HOURS, strict=True)))
    except (OverflowError, ValueError) as error:
        raise Invalid(f"{text!r} is too long a time") from error
