"""Memories by their roles as a condition in PostgreSQL's language.

    condition(Roles(memory="memories", heat="heat"), Wanted(min_heat=0.5))      # '"heat"::text::float8 >= 0.5'

Columns are looked at through their text, so that one condition serves whatever type they have: a `real` that shows as
0.7 is at least 0.7, and a time may be text or a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from snapstore.sources.roles import NOT_ARCHIVED, Roles, Wanted, column_of

__all__ = ["condition"]

_NUMBERS = "('smallint', 'integer', 'bigint', 'real', 'double precision', 'numeric')"
_TEXTS = "('text', 'character varying', 'character')"


def condition(roles: Roles, wanted: Wanted) -> str:
    """As `Filters.condition`."""

    def name(role: str) -> str:
        return '"' + column_of(roles, role).replace('"', '""') + '"'

    parts = []
    for role, values in (("type", wanted.types), ("owner", wanted.owners)):
        if values:
            parts.append(f"{name(role)}::text IN ({_literals(values)})")
    if wanted.min_heat is not None:
        parts.append(f"{name('heat')}::text::float8 >= {wanted.min_heat!r}")
    if wanted.tags:
        column, any_of = name("tags"), f"ARRAY[{_literals(wanted.tags)}]"
        parts.append(
            f"CASE WHEN pg_typeof({column})::text NOT IN {_TEXTS} THEN to_jsonb({column}) ?| {any_of} "
            f"WHEN left(ltrim({column}::text), 1) = '[' THEN {column}::text::jsonb ?| {any_of} "
            f"ELSE string_to_array(replace({column}::text, ', ', ','), ',') && {any_of} END"
        )
    for sign, moment in ((">=", wanted.created_after), ("<", wanted.created_before)):
        if moment is not None:
            parts.append(f"{_time(name('created'))} {sign} {_moment(moment)}")
    if not wanted.archived:
        parts.append(f"lower(coalesce({name('archived')}::text, 'false')) IN ({_literals(NOT_ARCHIVED)})")
    return " AND ".join(parts) or "true"


def _time(column: str) -> str:
    """A time, whether it is held as one, as text, or as seconds or milliseconds since 1970."""
    number = f"{column}::text::float8"
    return (
        f"CASE WHEN pg_typeof({column})::text IN {_NUMBERS} "
        f"THEN to_timestamp(CASE WHEN abs({number}) > 1e11 THEN {number} / 1000 ELSE {number} END) "
        f"ELSE {column}::text::timestamptz END"
    )


def _moment(moment: datetime) -> str:
    return f"timestamptz {_literal(moment.isoformat())}"


def _literals(values: Sequence[str]) -> str:
    return ", ".join(_literal(value) for value in values)


def _literal(value: str) -> str:
    quoted = value.replace("'", "''")
    return f"E'{quoted}'".replace("\\", "\\\\") if "\\" in quoted else f"'{quoted}'"
