"""Asking the catalogue, and the names of what it has as people write them.

for row in rows_of(connection, "SELECT relname AS name FROM pg_class"):
    row["name"]
full_name("public", "memories")       # 'public.memories'

The catalogue is read more than once in a take, by the same questions. `all_at_once` sends those of the last time
together, so that on a server far off they cost one round trip. It knows nothing of what is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.rows import dict_row

__all__ = ["all_at_once", "full_name", "rows_of"]

_Rows = list[dict[str, Any]]


@dataclass(slots=True)
class _Questions:
    """What was asked within the last `all_at_once` of a connection, by its text; what is within this one, and answers
    that came before they were asked for.
    """

    last: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    now: dict[str, tuple[Any, Any]] | None = None
    answers: dict[str, _Rows] = field(default_factory=dict)


_QUESTIONS: WeakKeyDictionary[psycopg.Connection[Any], _Questions] = WeakKeyDictionary()


def full_name(schema: str, name: str) -> str:
    """`schema.name` as people write it; a part with a dot or a double quote stands in double quotes, so that no two
    things have one name.
    """
    return ".".join(
        '"' + part.replace('"', '""') + '"' if "." in part or '"' in part else part for part in (schema, name)
    )


def rows_of(
    connection: psycopg.Connection[Any], query: Any, parameters: Sequence[Any] | None = None, *, again: bool = True
) -> list[dict[str, Any]]:
    """All rows of a query, each as a map from column name to value. Planned once a session, where it is one's own.

    Without `again` the next `all_at_once` does not ask it by itself: for a query that names what may be gone by then.
    """
    questions = _QUESTIONS.get(connection)
    if again and questions is not None and questions.now is not None:
        text = query if isinstance(query, str) else query.as_string(connection)
        key = f"{text}\0{parameters!r}"
        questions.now[key] = (query, parameters)
        if key in questions.answers:
            return questions.answers.pop(key)
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters, prepare=True).fetchall()


@contextmanager
def all_at_once(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Ask what was asked within the last such block of this connection, in one round trip; `rows_of` gives the answers.

    For one transaction with one snapshot, in which it is the same when a question is asked. What is asked no more was
    asked for nothing, and what is new is asked when it comes. Where the block fails, the next one asks nothing before.
    """
    questions = _QUESTIONS.setdefault(connection, _Questions())
    last, questions.last = questions.last, {}
    cursors = {}
    if last and psycopg.Pipeline.is_supported():
        with connection.pipeline():
            for key, (query, parameters) in last.items():
                cursors[key] = connection.cursor(row_factory=dict_row).execute(query, parameters, prepare=True)
    questions.answers = {key: cursor.fetchall() for key, cursor in cursors.items()}
    questions.now = {}
    try:
        yield
        questions.last = questions.now
    finally:
        questions.now = None
        questions.answers = {}
