"""Asking the catalogue, and the names of what it has as people write them.

for row in rows_of(connection, "SELECT relname AS name FROM pg_class"):
    row["name"]
full_name("public", "memories")       # 'public.memories'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

__all__ = ["full_name", "rows_of"]


def full_name(schema: str, name: str) -> str:
    """`schema.name` as people write it; a part with a dot or a double quote stands in double quotes, so that no two
    things have one name.
    """
    return ".".join(
        '"' + part.replace('"', '""') + '"' if "." in part or '"' in part else part for part in (schema, name)
    )


def rows_of(
    connection: psycopg.Connection[Any], query: Any, parameters: Sequence[Any] | None = None
) -> list[dict[str, Any]]:
    """All rows of a query, each as a map from column name to value. Planned once a session, where it is one's own."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters, prepare=True).fetchall()
