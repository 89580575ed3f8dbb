"""What a restore is asked to do, as a value: the words of `snap restore` after they were understood.

    Ask(mode=Mode.UPDATE, tables=("public.memories",), on_error=OnError.SKIP)

Nothing is looked up or tried here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from snapstore.operations.plan import Mode
from snapstore.operations.scope import Scope

__all__ = ["Ask", "OnError"]


class OnError(StrEnum):
    """What becomes of a restore when the target refuses a row (decision 19)."""

    STOP = "stop"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be restored: which source of the snapshot, which tables and rows of it, and how.

    `tables` are patterns; `keys` and `where` narrow the rows, by table name. `exclude_columns` (`schema.table.column`)
    stay as they are. A difference in `ignore_columns` alone is none (patterns of `table.column`), while a row that is
    inserted has them. `recreate` rebuilds tables whose shape differs. `privileges` gives what is made those it had.
    Unless the snapshot is `trusted`, rows alone are put back: whatever would run SQL that stands in it (making tables,
    functions, views; conditions; other types) is a `Conflict`. `on_error` says what a row that the target refuses ends:
    the restore, or only its own part in it.
    """

    mode: Mode = Mode.SKIP
    source: str | None = None
    tables: tuple[str, ...] = ()
    scope: Scope = field(default_factory=Scope)
    exclude_columns: tuple[str, ...] = ()
    ignore_columns: tuple[str, ...] = ()
    recreate: bool = False
    privileges: bool = True
    trusted: bool = True
    on_error: OnError = OnError.STOP
