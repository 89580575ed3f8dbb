"""Tables nobody thought of: taken, dropped or changed, restored, identical. Ten thousand of them in the soak."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from snapstore.operations.plan import Mode
from tests.operations.random_tables import Schema
from tests.operations.world import World, roots
from tests.soak import IS_SOAK

# 250 examples of 40 tables where the profile asks for thousands, else a few of a few.
TABLES = 40 if IS_SOAK else 5
RANDOM_TABLES = settings(
    max_examples=250 if IS_SOAK else 6,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def make(url: str, schema: Schema) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            'CREATE EXTENSION IF NOT EXISTS vector SCHEMA public; DROP SCHEMA IF EXISTS "ran dom" CASCADE'
        )
        for statement in schema.definitions:
            connection.execute(statement.encode())
        for statement in schema.rows:
            # One that breaks a constraint is not there.
            with suppress(psycopg.IntegrityError):
                connection.execute(statement.encode())
        for statement in schema.endings:
            connection.execute(statement.encode())


def damage(url: str, schema: Schema) -> None:
    """Some rows are gone, those without a key are there twice."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in schema.tables:
            place = sql.SQL(table.place)  # quoted where it was drawn
            with suppress(psycopg.IntegrityError, psycopg.errors.ObjectNotInPrerequisiteState):
                connection.execute(sql.SQL("DELETE FROM ONLY {} WHERE ctid::text ~ '[13].$'").format(place))


@RANDOM_TABLES
@given(st.lists(st.integers(0, 2**40), min_size=1 if not IS_SOAK else TABLES, max_size=TABLES), st.sampled_from("dlr"))
def test_any_tables_come_back(world: World, pg_dump: Callable[..., str], seeds: list[int], how: str) -> None:
    schema = Schema(seeds)
    make(world.url, schema)
    # A name with a line end in it hides where the rows begin, so all lines are sorted.
    before = sorted(pg_dump(world.url).split("\n"))
    taken = world.take()
    if how == "d":
        damage(world.url, schema)
    elif how == "l":
        world.run('DROP SCHEMA "ran dom" CASCADE')
    else:
        world.run('DROP SCHEMA "ran dom" CASCADE; DROP EXTENSION vector')
    world.restore(taken, Mode.EXACT)
    assert sorted(pg_dump(world.url).split("\n")) == before
    assert roots(world.take()) == roots(taken)
