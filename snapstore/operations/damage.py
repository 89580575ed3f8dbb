"""What verify finds: damage, and the rows it harms, as frozen values.

    for damage in verified.damaged:
        damage.object, damage.reason, damage.snapshots, damage.rows

Keys are bytes here; whoever prints them decodes them with `snapstore.keys` and `RowRange.key`.
"""

from __future__ import annotations

from dataclasses import dataclass

from snapstore.digest import Digest
from snapstore.rows import KeyPart

__all__ = ["Damage", "RowRange"]


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows of a table whose key k is `after` < k ≤ `upto` (None: from the first, to the last); `count` of them.

    `column` is the one whose cells are harmed, or None where the rows as a whole are. A single row is `upto` itself.
    """

    source: str
    table: str
    column: str | None
    key: tuple[KeyPart, ...]
    after: bytes | None
    upto: bytes | None
    count: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not as it was written: `object` names it in the store, `reason` says in words what is wrong.

    `blob` is the blob that cannot be had, None where it is the object itself; `pack` the name of the pack it is in,
    None if it is in none. `snapshots` (ids), `tables` and `rows` are what cannot be read because of it: none if another
    copy serves, or if nothing needs it.
    """

    object: str
    reason: str
    blob: Digest | None = None
    pack: str | None = None
    snapshots: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    rows: tuple[RowRange, ...] = ()
