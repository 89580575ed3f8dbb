"""Times of a crontab entry: which minutes are meant, and the same in the words of other schedulers."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snap_cli.timetable import Timetable
from snapstore.errors import Invalid

NOON = datetime.fromisoformat("2026-01-31T12:00")
FIRST, LAST = (datetime.fromisoformat(text) for text in ("2020-01-01", "2030-01-01"))


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("30 2 * * *", "2026-02-01 02:30"),
        ("0 12 * * *", "2026-02-01 12:00"),
        ("*/15 * * * *", "2026-01-31 12:15"),
        ("5-10/2,59 * * * *", "2026-01-31 12:05"),
        ("0 3 29 2 *", "2028-02-29 03:00"),
        ("0 3 * * mon", "2026-02-02 03:00"),
        ("0 3 * * 7", "2026-02-01 03:00"),
        ("0 3 13 * fri", "2026-02-06 03:00"),
        ("0 3 13 feb 5", "2026-02-06 03:00"),
        ("0 0 1 JAN *", "2027-01-01 00:00"),
        ("@weekly", "2026-02-01 00:00"),
        ("0 22/1 * * *", "2026-01-31 22:00"),
    ],
)
def test_the_next_time_is_that_of_cron(text: str, due: str) -> None:
    assert f"{Timetable.parse(text).after(NOON):%Y-%m-%d %H:%M}" == due


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "a * * * *", "5-1 * * * *",
     "*/0 * * * *", "1,,2 * * * *", "* * 31 feb *", "0 3 30 2 *", "*-3 * * * *", "@often", "-1 * * * *", "² * * * *"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Timetable.parse(text)


@pytest.mark.parametrize("text", ["24:00", "2", "02:60", "2:5", "noon"])
def test_a_time_of_day_must_be_one(text: str) -> None:
    with pytest.raises(Invalid):
        Timetable.daily(text)


def numbers(least: int, most: int) -> st.SearchStrategy[str]:
    some = st.lists(st.integers(least, most), min_size=1, max_size=3).map(lambda found: ",".join(map(str, found)))
    return st.just("*") | some | st.integers(1, 9).map(lambda step: f"*/{step}")


ENTRIES = st.tuples(numbers(0, 59), numbers(0, 23), numbers(1, 28), numbers(1, 12), numbers(0, 7)).map(" ".join)


@given(ENTRIES, st.datetimes(FIRST, LAST))
def test_nothing_that_is_due_is_left_out(text: str, moment: datetime) -> None:
    times = Timetable.parse(text)
    due = times.after(moment)
    assert due > moment
    between = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(3000):
        if between >= due:
            break
        assert times.after(between - timedelta(minutes=1)) == due
        between += timedelta(minutes=37)


@given(ENTRIES)
def test_launchd_is_told_the_same_days(text: str) -> None:
    times = Timetable.parse(text)
    try:
        intervals = times.intervals
    except Invalid:
        return
    names = {"Minute": "minute", "Hour": "hour", "Day": "day", "Month": "month"}

    def is_meant(moment: datetime) -> bool:
        return any(
            all(
                (moment.isoweekday() % 7 if name == "Weekday" else getattr(moment, names[name])) == value
                for name, value in one.items()
            )
            for one in intervals
        )

    due = times.after(NOON)
    assert is_meant(due)
    before = due - timedelta(minutes=1)
    assert is_meant(before) == (times.after(before - timedelta(minutes=1)) == before)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_is_told_the_same_times() -> None:
    for text in ("30 2 * * *", "*/20 1,3 * * mon-fri", "0 3 13 feb 5", "0 0 1 1 *"):
        times = Timetable.parse(text)
        found: set[datetime] = set()
        for calendar in times.calendars:
            done = subprocess.run(
                ["systemd-analyze", "calendar", "--iterations=4", "--base-time=2026-01-31 12:00:00", calendar],
                capture_output=True, text=True, check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
            )  # fmt: skip
            lines = [line for line in done.stdout.splitlines() if "Next elapse" in line or "Iter" in line]
            words = [line.split(": ", 1)[1].split() for line in lines]
            found |= {datetime.fromisoformat(f"{one[1]} {one[2]}") for one in words}
        mine = [times.after(NOON)]
        for _ in range(3):
            mine.append(times.after(mine[-1]))
        assert all(before < after for before, after in pairwise(mine))
        assert sorted(found)[:4] == mine, text
