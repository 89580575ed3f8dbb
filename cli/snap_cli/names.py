"""`SNAP:TABLE:KEY` and `TABLE:KEY` as a person writes them, taken apart.

    split("latest:memories:17")                   # ('latest', 'memories:17')
    table, key = table_and_key(state.tables, "memories:17", state.label)

A table may be written without its schema, if that leaves no doubt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from snap_cli.render import clean
from snapstore.errors import Invalid
from snapstore.operations.named import Named, one_table, row_key
from snapstore.operations.state import State

__all__ = ["keys_by_table", "split", "table_and_key"]

# A time of day has colons of its own.
_MOMENT = re.compile(r"@\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?(?:~\d+)?")


def split(text: str) -> tuple[str, str]:
    """The name of the snapshot, and what follows its colon (empty if nothing does)."""
    moment = _MOMENT.match(text)
    end = moment.end() if moment else 0
    head, _, rest = text[end:].partition(":")
    return text[:end] + head, rest


def table_and_key(tables: Sequence[Named], text: str, label: str) -> tuple[Named, str | None]:
    """The table, and the key in words if there is one; a colon may be part of the table's name."""
    ends = [at for at, one in enumerate(text) if one == ":"]
    for end in ends:
        if any(text[:end] in (table.name, table.name.partition(".")[2]) for table in tables):
            return one_table(tables, text[:end], label), text[end + 1 :]
    return one_table(tables, text, label), None


def keys_by_table(
    states: Sequence[State], texts: Sequence[str], label: str, *, absent: bool = False
) -> dict[str, list[bytes]]:
    """`TABLE:KEY` words as keys by full table name, ascending.

    Raises `NotFound` for a row that no state has, unless `absent` says that this may be.
    """
    tables = list({table.name: table for state in states for table in state.tables}.values())
    keys: dict[str, set[bytes]] = {}
    for text in texts:
        table, key = table_and_key(tables, text, label)
        if key is None:
            raise Invalid(f"--key {clean(text)!r} is not TABLE:KEY", hint="For example --key memories:17.")
        parsed = row_key(states, table, key, label, absent=absent)
        keys.setdefault(table.name, set()).add(parsed)
    return {name: sorted(own) for name, own in keys.items()}
