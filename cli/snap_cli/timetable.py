"""When something is due: the five fields of a crontab entry, and the same for other schedulers.

    times = Timetable.parse("30 2 * * 1-5")
    times.after(datetime(2026, 1, 31, 12, 0))        # the next such minute
    times.calendars                                # ['Mon..Fri *-*-* 02:30:00'] for systemd

As in every cron, where both the day of the month and the day of the week are restricted, either will do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product

from snapstore.errors import Invalid

__all__ = ["Timetable"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_LONGEST_YEARS = 9  # 29 February over a century that is no leap year
_MOST_LAUNCHD = 500

_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()), ("hour", 0, 23, ()), ("day", 1, 31, ()), ("month", 1, 12, _MONTHS), ("weekday", 0, 7, _DAYS),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Timetable:
    """Minutes of the local time. A weekday is 0 (Sunday) to 6; `text` is the entry in five fields."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    has_days: bool
    has_weekdays: bool

    @classmethod
    def parse(cls, text: str) -> Timetable:
        """From five fields, or `@daily` and the like. Raises `Invalid` naming the field that is wrong."""
        words = _NAMES.get(text.strip().lower(), text).split()
        if len(words) != len(_FIELDS):
            raise Invalid(
                f"{text!r} is not a crontab entry's time",
                hint="It has five fields: minute, hour, day of the month, month, day of the week; as in '30 2 * * *'.",
            )
        found = [_field(word, *field) for word, field in zip(words, _FIELDS, strict=True)]
        weekdays = frozenset(day % 7 for day in found[4])
        minutes, hours, days, months, _ = found
        has_days, has_weekdays = (not words[at].startswith("*") for at in (2, 4))
        times = cls(" ".join(words), minutes, hours, days, months, weekdays, has_days, has_weekdays)
        if next(times._days(datetime.fromisoformat("2024-01-01")), None) is None:
            raise Invalid(f"{text!r} never comes: there is no such day")
        return times

    @classmethod
    def daily(cls, text: str) -> Timetable:
        """From `02:30`: every day at that time."""
        found = re.fullmatch(r"(\d{1,2}):(\d\d)", text)
        if found is None or int(found[1]) > 23 or int(found[2]) > 59:
            raise Invalid(f"{text!r} is not a time of day", hint="Write it as 02:30.")
        return cls.parse(f"{int(found[2])} {int(found[1])} * * *")

    def after(self, moment: datetime) -> datetime:
        """The first minute after this one that is meant, both without a zone."""
        start = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        for day in self._days(start):
            for hour, minute in product(sorted(self.hours), sorted(self.minutes)):
                due = day.replace(hour=hour, minute=minute)
                if due >= start:
                    return due
        raise AssertionError("a timetable was parsed that never comes")

    def _days(self, start: datetime) -> Iterator[datetime]:
        day = start.replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(_LONGEST_YEARS * 366):
            if self._is_day(day):
                yield day
            day += timedelta(days=1)

    def _is_day(self, day: datetime) -> bool:
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        is_meant = of_month or of_week if self.has_days and self.has_weekdays else of_month and of_week
        return day.month in self.months and is_meant

    @property
    def calendars(self) -> list[str]:
        """As systemd's `OnCalendar=`: one, or two where either kind of day will do."""
        week = ",".join(_DAYS[day].capitalize() for day in sorted(self.weekdays)) + " "
        months, days = _listed(self.months, 12), _listed(self.days, 31)
        clock = f"{_listed(self.hours, 24)}:{_listed(self.minutes, 60)}:00"
        if self.has_days and self.has_weekdays:
            return [f"*-{months}-{days} {clock}", f"{week}*-{months}-* {clock}"]
        return [f"{week if self.has_weekdays else ''}*-{months}-{days} {clock}"]

    @property
    def intervals(self) -> list[Mapping[str, int]]:
        """As launchd's `StartCalendarInterval`. Raises `Invalid` where that would be too long a list."""
        parts = [("Minute", self.minutes, 60), ("Hour", self.hours, 24), ("Month", self.months, 12)]
        days, week = ("Day", self.days, 31), ("Weekday", self.weekdays, 7)
        either = [[*parts, days], [*parts, week]] if self.has_days and self.has_weekdays else [[*parts, days, week]]
        found: list[Mapping[str, int]] = []
        for fields in either:
            limited = [(name, sorted(values)) for name, values, size in fields if len(values) < size]
            names = [name for name, _ in limited]
            found += [dict(zip(names, one, strict=True)) for one in product(*(values for _, values in limited))]
        if len(found) > _MOST_LAUNCHD:
            raise Invalid(f"{self.text!r} is more than launchd can be told", hint="Choose fewer times.")
        return found


def _field(text: str, name: str, least: int, most: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\*|[\w]+)(?:-(\w+))?(?:/(\d+))?", part)
        if match is None or (match[1] == "*" and match[2]):
            raise _wrong(text, name, least, most)
        step = int(match[3] or 1)
        if match[1] == "*":
            first, last = least, most
        else:
            first = _number(match[1], least, names)
            last = _number(match[2], least, names) if match[2] else most if match[3] else first
        if not least <= first <= last <= most or not step:
            raise _wrong(text, name, least, most)
        found |= set(range(first, last + 1, step))
    return frozenset(found)


def _number(word: str, least: int, names: tuple[str, ...]) -> int:
    """What a word says, or −1, which no field takes."""
    if word.lower() in names:
        return names.index(word.lower()) + least
    return int(word) if word.isascii() and word.isdigit() else -1


def _wrong(text: str, name: str, least: int, most: int) -> Invalid:
    return Invalid(
        f"{text!r} cannot be the {name} of a crontab entry",
        hint=f"It is {least} to {most}, a list `{least},{most}`, a range `{least}-{most}`, `*`, or these in steps: "
        "`*/5`.",
    )


def _listed(values: frozenset[int], size: int) -> str:
    return "*" if len(values) == size else ",".join(f"{value:02}" for value in sorted(values))
