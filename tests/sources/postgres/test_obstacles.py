"""What must step aside, decided without a server."""

from __future__ import annotations

import pytest

from snapstore.rows import KeyPart, Table
from snapstore.sources import Work
from snapstore.sources.postgres.obstacles import dear_indexes

TABLE = Table("public.t", (KeyPart("id", "pg_catalog.int4", "int4"),), ())
DEFINITION = {
    "indexes": [
        {"name": "near", "method": "hnsw"},
        {"name": "part", "method": "hnsw", "attach": {"schema": "public", "name": "whole"}},
        {"name": "lists", "method": "ivfflat"},
        {"name": "plain", "method": "btree"},
    ]
}


@pytest.mark.parametrize(
    ("work", "rows", "fits", "anew"),
    [
        (Work(TABLE, exists=True, inserts=100), 900, True, False),
        (Work(TABLE, exists=True, inserts=200), 800, True, True),
        (Work(TABLE, exists=True, inserts=200), 800, False, False),
        (Work(TABLE, exists=True, inserts=600), 400, False, True),
        (Work(TABLE, exists=True, updated=200), 1000, True, True),
        (Work(TABLE, exists=True, deletes=900), 1000, True, False),
        (Work(TABLE, exists=True, inserts=100, deletes=800), 1000, True, True),  # of the 300 that are left
        (Work(TABLE, exists=True, inserts=5), 0, True, True),
        (Work(TABLE, exists=True, inserts=5, deletes=10), 5, True, True),  # an estimate of rows may be stale
    ],
)
def test_a_graph_is_built_anew_where_that_costs_less(work: Work, rows: float, fits: bool, anew: bool) -> None:
    grown: list[float] = []

    def asked(index: object, growth: float) -> bool:
        grown.append(growth)
        return fits

    found = dear_indexes(DEFINITION, work, rows, asked)
    assert [index["name"] for index in found] == (["near"] if anew else [])
    assert grown == [pytest.approx(max(rows + work.inserts - work.deletes, work.inserts) / rows if rows else 1)]
