r"""Text for a terminal: quantities with units, tables that fit, and nothing a database could use against the reader.

    columns([["table", "rows"], ["public.memories", count(2400)]], right={1})
    clean("a\x1b[2J")           # 'a\\x1b[2J'
    paint("+3", "green")

Everything that comes from a database or a manifest passes `clean`; `safe` is the last guard before the terminal. This
module prints nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len, set_cell_size

__all__ = ["amount", "clean", "columns", "count", "jsonable", "moment", "paint", "plural", "safe", "seconds"]

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_SGR = re.compile(r"(\x1b\[(?:0|1|2|31|32|33|36)m)")


def clean(text: str, *, lines: bool = False) -> str:
    """The text with every character that is not printable escaped (line ends too, unless `lines`)."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or (lines and one == "\n") else repr(one)[1:-1] for one in text)


def paint(text: str, style: str) -> str:
    """The cleaned text in a colour; whether colours are shown is decided where it is written."""
    return f"\x1b[{_STYLES[style]}m{clean(text)}\x1b[0m"


def safe(text: str) -> str:
    """The text without any control but line ends and the few colours of `paint`."""
    return "".join(
        piece if at % 2 else clean(piece.replace("\t", "    "), lines=True) for at, piece in enumerate(_SGR.split(text))
    )


def columns(rows: Sequence[Sequence[str]], *, right: Collection[int] = (), indent: int = 2, widest: int = 48) -> str:
    """Rows as aligned columns under a heading, the first row; columns in `right` are right-aligned.

    No cell is wider than `widest`: what is cut ends in `…`. Empty without rows.
    """
    if not rows:
        return ""
    plain = [[_cut(cell, widest) for cell in row] for row in rows]
    widths = [max(_width(row[at]) for row in plain) for at in range(len(plain[0]))]
    lines = []
    for number, row in enumerate(plain):
        cells = []
        for at, cell in enumerate(row):
            gap = " " * (widths[at] - _width(cell))
            cells.append(gap + cell if at in right else cell + gap)
        line = " " * indent + "  ".join(cells).rstrip()
        lines.append(paint(line, "dim") if not number else line)
    return "\n".join(lines)


def _width(cell: str) -> int:
    return cell_len(_SGR.sub("", cell))


def _cut(cell: str, widest: int) -> str:
    if _SGR.search(cell):
        return cell
    cell = clean(cell)
    return cell if cell_len(cell) <= widest else set_cell_size(cell, widest - 1).rstrip() + "…"


def count(number: int | None) -> str:
    """`2,400`; a dash where it is not known."""
    return "-" if number is None else f"{number:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def amount(number: int) -> str:
    """Bytes in decimal units: `999 B`, `1.2 kB`, `268.4 MB`."""
    if number < 1000:
        return f"{number} B"
    size = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.95 or unit == "TB":
            return f"{size:,.1f} {unit}"
    raise AssertionError("the last unit takes everything")


def seconds(duration: float) -> str:
    """`0.8 s`, `12 s`, `3 min 20 s`."""
    if duration < 10:
        return f"{duration:.1f} s"
    whole = round(duration)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"


def moment(when: datetime) -> str:
    """`2026-01-31 02:00:00`, in UTC."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def jsonable(value: Any) -> Any:
    """Plain values that JSON can hold: bytes as hexadecimal digits, tuples as lists."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): jsonable(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(own) for own in value]
    return value
