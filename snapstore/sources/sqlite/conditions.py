"""Memories by their roles as a condition in SQLite's language.

    condition(Roles(memory="memories", heat="heat"), Wanted(min_heat=0.5))      # '… CAST("heat" AS REAL) >= 0.5 …'

Any cell may have any type there, so each is looked at as what it is. One that is no heat or no time at all fails the
take: a row left out, or taken, without a word would be missed too late.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from snapstore.sources.roles import NOT_ARCHIVED, Roles, Wanted, column_of
from snapstore.sources.sqlite.connection import quoted

__all__ = ["condition"]


def condition(roles: Roles, wanted: Wanted) -> str:
    """As `Filters.condition`."""

    def name(role: str) -> str:
        return quoted(column_of(roles, role))

    parts = []
    for role, values in (("type", wanted.types), ("owner", wanted.owners)):
        if values:
            parts.append(f"CAST({name(role)} AS TEXT) IN ({_literals(values)})")
    if wanted.min_heat is not None:
        parts.append(f"{_number(name('heat'))} >= {wanted.min_heat!r}")
    if wanted.tags:
        column = name("tags")
        in_list = f"EXISTS (SELECT 1 FROM json_each({column}) AS tag WHERE tag.value IN ({_literals(wanted.tags)}))"
        words = f"',' || replace(CAST({column} AS TEXT), ', ', ',') || ','"
        in_words = " OR ".join(f"instr({words}, {_literal(f',{tag},')}) > 0" for tag in wanted.tags)
        parts.append(f"CASE WHEN ltrim(CAST({column} AS TEXT)) LIKE '[%' THEN {in_list} ELSE {in_words} END")
    for sign, moment in ((">=", wanted.created_after), ("<", wanted.created_before)):
        if moment is not None:
            parts.append(f"{_seconds(name('created'))} {sign} {_moment(moment)}")
    if not wanted.archived:
        parts.append(f"lower(coalesce(CAST({name('archived')} AS TEXT), '0')) IN ({_literals(NOT_ARCHIVED)})")
    return " AND ".join(parts) or "true"


def _number(column: str) -> str:
    """A number, or a text that is one. CAST alone makes 0 of any other text, and 0.5 of '0.5 or so'.

    A text beside an expression of type REAL is compared as a number if it is one, and is else greater than all numbers
    (https://sqlite.org/datatype3.html §4.2), as blobs are.
    """
    return (
        f"CASE WHEN {column} IS NULL THEN NULL "
        f"WHEN {column} <= CAST(9e999 AS REAL) THEN CAST({column} AS REAL) "
        f"ELSE {_failing('not a number', column)} END"
    )


def _seconds(column: str) -> str:
    """Seconds since 1970, of a time held as text, or as seconds or milliseconds."""
    return (
        f"CASE WHEN {column} IS NULL THEN NULL "
        f"WHEN typeof({column}) IN ('integer', 'real') "
        f"THEN CASE WHEN abs({column}) > 1e11 THEN {column} / 1000.0 ELSE {column} END "
        f"ELSE coalesce(unixepoch({column}, 'subsec'), {_failing('not a time', column)}) END"
    )


def _failing(why: str, column: str) -> str:
    """What ends the query with the value in the message: no function of the engine is made for that."""
    return f"json_extract('{{}}', '{why}: ' || {column})"


def _moment(moment: datetime) -> str:
    return repr(moment.timestamp())


def _literals(values: Sequence[str]) -> str:
    return ", ".join(_literal(value) for value in values)


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
