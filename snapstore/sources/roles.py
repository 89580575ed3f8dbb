"""What the tables and columns of a memory are to it, and which memories are meant in those words.

    roles = Roles(memory="memories", heat="heat", owner="user_id")
    wanted = Wanted(min_heat=0.5, owners=("ann",))
    source.condition(roles, wanted)         # a condition in the language of the source's engine

Which column plays which role, a person says (`snap.toml`); nothing here guesses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Protocol, runtime_checkable

from snapstore.errors import Invalid

__all__ = ["NOT_ARCHIVED", "Filters", "Roles", "Wanted", "column_of"]

NOT_ARCHIVED = ("0", "0.0", "false", "f", "no", "n", "off", "")
"""What a cell that says whether a memory is archived says, as text in small letters, where it is not."""


@dataclass(frozen=True, slots=True)
class Roles:
    """A table of memories and columns of it, by what they are; and the table of relationships between them.

    `archived` may be a truth, a number, or a time that is NULL while the memory is not archived; `tags` an array, JSON,
    or words with commas between them; `created` a time, ISO 8601 text, or seconds or milliseconds since 1970.
    """

    memory: str = ""
    content: str = ""
    vector: str = ""
    heat: str = ""
    owner: str = ""
    group: str = ""
    type: str = ""
    created: str = ""
    archived: str = ""
    tags: str = ""
    relationship: str = ""
    relationship_from: str = ""
    relationship_to: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which memories are meant: all that meet every part that is given; of several words in one part any will do.

    Times have a zone. A memory without heat, owner, type, tags or time does not meet a condition about it; one whose
    `archived` is empty is not archived.
    """

    types: tuple[str, ...] = ()
    min_heat: float | None = None
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    archived: bool = True

    @property
    def is_all(self) -> bool:
        """Whether every memory is meant."""
        return self == Wanted()

    def words(self) -> Iterator[str]:
        """The same for people."""
        for name, values in (("type", self.types), ("owner", self.owners), ("tag", self.tags)):
            if values:
                yield f"{name} {' or '.join(values)}"
        if self.min_heat is not None:
            yield f"heat at least {self.min_heat:g}"
        if self.created_after is not None:
            yield f"created at or after {self.created_after.isoformat()}"
        if self.created_before is not None:
            yield f"created before {self.created_before.isoformat()}"
        if not self.archived:
            yield "not archived"


@runtime_checkable
class Filters(Protocol):
    """A source whose engine can choose memories by their roles."""

    def condition(self, roles: Roles, wanted: Wanted) -> str:
        """What is wanted as a condition on the rows of `roles.memory`. Raises `Invalid` naming a role nobody plays."""


def column_of(roles: Roles, role: str) -> str:
    """The column that plays a role. Raises `Invalid` if none is said to."""
    column = str(getattr(roles, role))
    if not column:
        given = ", ".join(field.name for field in fields(roles) if getattr(roles, field.name)) or "none"
        raise Invalid(
            f"no column is said to be the {role} of a memory",
            hint=f'Say which in snap.toml: `{role} = "COLUMN"` under [sources.NAME.roles] (given there: {given}).',
        )
    return column
