r"""PostgreSQL's dates and times as ISO 8601 text, over its whole range: beyond the year 9999, before Christ, infinite.

    timestamptz(bytes(8))      # '2000-01-01T00:00:00+00:00'
    date(b"\x7f\xff\xff\xff")     # 'infinity'

Binary forms count days or microseconds from 2000-01-01 in the proleptic Gregorian calendar. Python's own types end at
the years 1 and 9999, so the calendar is computed here.
"""

from __future__ import annotations

import struct

__all__ = ["date", "interval", "time", "timestamp", "timestamptz", "timetz"]

_DAY_MICROSECONDS = 86_400_000_000


def date(cell: bytes) -> str:
    """`2000-01-31`, `0044-03-15 BC`, `infinity` or `-infinity`."""
    (days,) = struct.unpack(">i", cell)
    if days in (2**31 - 1, -(2**31)):
        return "infinity" if days > 0 else "-infinity"
    day, era = _calendar(days)
    return day + era


def time(cell: bytes) -> str:
    """`23:59:59.5`; the end of a day may be `24:00:00`."""
    return _clock(struct.unpack(">q", cell)[0])


def timetz(cell: bytes) -> str:
    """`23:59:59+02:00`."""
    microseconds, west_seconds = struct.unpack(">qi", cell)
    return _clock(microseconds) + _zone(-west_seconds)


def timestamp(cell: bytes) -> str:
    """`2000-01-31T23:59:59.5`, with ` BC` behind it where it is."""
    return _moment(cell, "")


def timestamptz(cell: bytes) -> str:
    """As `timestamp`, in UTC: `2000-01-31T23:59:59.5+00:00`."""
    return _moment(cell, "+00:00")


def interval(cell: bytes) -> str:
    """`P1Y2M3DT4H5M6.5S`, each part with its own sign; `infinity` or `-infinity`."""
    microseconds, days, months = struct.unpack(">qii", cell)
    for infinite, sign in ((2, ""), (1, "-")):
        limits = [2**63 - 1, 2**31 - 1, 2**31 - 1] if infinite == 2 else [-(2**63), -(2**31), -(2**31)]
        if [microseconds, days, months] == limits:
            return f"{sign}infinity"
    years, months = _divided(months, 12)
    seconds, fraction = _divided(microseconds, 1_000_000)
    minutes, seconds = _divided(seconds, 60)
    hours, minutes = _divided(minutes, 60)
    part = f".{abs(fraction):06}".rstrip("0") if fraction else ""
    sign = "-" if seconds < 0 or fraction < 0 else ""
    large = "".join(f"{number}{unit}" for number, unit in ((years, "Y"), (months, "M"), (days, "D")) if number)
    small = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    if seconds or fraction:
        small += f"{sign}{abs(seconds)}{part}S"
    return "P" + large + (f"T{small}" if small else "") if large or small else "PT0S"


def _moment(cell: bytes, zone: str) -> str:
    (microseconds,) = struct.unpack(">q", cell)
    if microseconds in (2**63 - 1, -(2**63)):
        return "infinity" if microseconds > 0 else "-infinity"
    days, rest = divmod(microseconds, _DAY_MICROSECONDS)
    day, era = _calendar(days)
    return f"{day}T{_clock(rest)}{zone}{era}"


def _clock(microseconds: int) -> str:
    seconds, fraction = divmod(microseconds, 1_000_000)
    part = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{part}"


def _zone(east_seconds: int) -> str:
    sign, size = "-" if east_seconds < 0 else "+", abs(east_seconds)
    seconds = f":{size % 60:02}" if size % 60 else ""
    return f"{sign}{size // 3600:02}:{size // 60 % 60:02}{seconds}"


def _calendar(days: int) -> tuple[str, str]:
    """The date so many days after 2000-01-01, and ` BC` where it is (there is no year 0).

    Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days: years begin in March, so that the
    leap day is the last.
    """
    eras, day_of_era = divmod(days + 730_425, 146_097)  # since 0000-03-01, in cycles of 400 years
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = eras * 400 + year_of_era + (month <= 2)
    return (f"{year:04}-{month:02}-{day:02}", "") if year > 0 else (f"{1 - year:04}-{month:02}-{day:02}", " BC")


def _divided(number: int, by: int) -> tuple[int, int]:
    """Quotient and remainder, both with the sign of the number."""
    sign = -1 if number < 0 else 1
    quotient, rest = divmod(abs(number), by)
    return sign * quotient, sign * rest
