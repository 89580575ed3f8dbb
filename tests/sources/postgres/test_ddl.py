"""Statements quote what they are given, and come in an order that meets every need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import Unsupported
from snapstore.rows import Table
from snapstore.sources import Work
from snapstore.sources.postgres import ddl
from snapstore.sources.postgres.objectddl import create_object
from snapstore.sources.postgres.obstacles import ForeignKey, upset_foreign_keys
from snapstore.sources.postgres.order import closure, in_order


def written(statements: Iterable[Any]) -> list[str]:
    return [statement.as_string() for statement in statements]


def column(name: str, type_name: str, **more: Any) -> dict[str, Any]:
    plain = {
        "name": name, "type": type_name, "collation": None, "default": None, "generated": None, "identity": None,
        "not_null": False, "not_null_name": None, "not_null_valid": True, "not_null_no_inherit": False,
        "not_null_comment": None, "storage": None, "compression": None, "statistics": None, "options": None,
        "comment": None,
    }  # fmt: skip
    return {**plain, **more}


def table(*columns: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    plain = {"schema": "s", "name": "t", "persistence": "p", "options": None, "toast_options": None}
    return {**plain, "columns": list(columns), **more}


def test_names_and_labels_are_quoted() -> None:
    mood = {
        "kind": "type",
        "variety": "enum",
        "schema": 'a"b',
        "name": "select",
        "labels": ["it's"],
        "comment": "'; --",
    }
    assert written(create_object(mood)) == [
        """CREATE TYPE "a""b"."select" AS ENUM ('it''s')""",
        """COMMENT ON TYPE "a""b"."select" IS '''; --'""",
    ]


def test_a_table_comes_with_defaults_and_without_what_is_dearer_before_the_rows() -> None:
    made = table(
        column("id", "bigint", not_null=True, identity="always"),
        column("Heat", "real", default="'1'::real", not_null=True, not_null_name="must"),
        column("later", "text", not_null=True, not_null_valid=False, storage="e"),
        column("up", "text", collation='pg_catalog."C"', generated={"kind": "virtual", "expression": "upper(x)"}),
        options=["fillfactor=70"],
        persistence="u",
    )
    sequence = {
        "schema": "s", "name": "t seq", "start": 1, "increment": 1, "min": 1, "max": 9, "cache": 1, "cycle": True,
        "persistence": "p",
    }  # fmt: skip
    assert [" ".join(one.split()) for one in written(ddl.create_table(made, {"id": sequence}))] == [
        'CREATE UNLOGGED TABLE "s"."t" ("id" bigint CONSTRAINT "t_id_not_null" NOT NULL, '
        '"Heat" real DEFAULT \'1\'::real CONSTRAINT "must" NOT NULL, '
        '"later" text , "up" text COLLATE pg_catalog."C" GENERATED ALWAYS AS (upper(x)) VIRTUAL ) '
        "WITH (\"fillfactor\"='70')",
        'ALTER TABLE "s"."t" ALTER COLUMN "id" ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME "s"."t seq" '
        "START WITH 1 INCREMENT BY 1 MINVALUE 1 MAXVALUE 9 CACHE 1 CYCLE)",
        'ALTER SEQUENCE "s"."t seq" SET LOGGED',
        'ALTER TABLE "s"."t" ALTER COLUMN "later" SET STORAGE EXTERNAL',
    ]


def test_an_object_of_a_kind_from_the_future_is_refused() -> None:
    with pytest.raises(Unsupported, match="property graph"):
        list(create_object({"kind": "property graph", "name": "g", "comment": None}))


names = st.sampled_from([f"n{i}" for i in range(12)])


@given(st.dictionaries(names, st.sets(names)))
def test_every_need_is_met_or_named(needs: dict[str, set[str]]) -> None:
    order, unmet = in_order(needs)
    assert sorted(order) == sorted(needs)
    place = {name: at for at, name in enumerate(order)}
    broken = {
        (name, needed) for name in needs for needed in needs[name] if needed in place and place[needed] > place[name]
    }
    assert broken <= set(unmet)
    for name, needed in unmet:  # only a cycle is an excuse
        assert name in closure([needed], needs)


@given(st.dictionaries(names, st.sets(names)), st.randoms())
def test_the_order_depends_on_names_alone(needs: dict[str, set[str]], random: Any) -> None:
    shuffled = list(needs.items())
    random.shuffle(shuffled)
    assert in_order(dict(shuffled)) == in_order(needs)


def test_a_chain_longer_than_the_stack_is_ordered() -> None:
    needs = {f"{i:06}": {f"{i + 1:06}"} for i in range(20_000)}
    order, unmet = in_order(needs)
    assert order[0] == "019999"
    assert not unmet


def key(child: str, parent: str, definition: str = "FOREIGN KEY (p) REFERENCES s.x(id)") -> ForeignKey:
    return ForeignKey(
        child, "s", child, f"{child}_{parent}", ("p",), parent, "s", parent, ("id",), ("=",), definition, None, False
    )


@pytest.mark.parametrize(
    ("works", "upset"),
    [
        ([("a", 5, 0, ()), ("b", 5, 0, ())], False),  # parents first
        ([("b", 5, 0, ()), ("a", 5, 0, ())], True),  # children first: a cycle made it so
        ([("a", 0, 1, ())], True),  # would cascade
        ([("b", 0, 1, ())], False),
        ([("a", 0, 0, ("note",)), ("b", 0, 0, ("p",))], False),  # every parent is there
        ([("a", 1, 0, ()), ("b", 0, 0, ("p",))], True),  # updates come before inserts
        ([("a", 1, 0, ()), ("b", 0, 0, ("note",))], False),
        ([("a", 0, 0, ("id",))], True),  # ON UPDATE CASCADE
    ],
)
def test_a_foreign_key_steps_aside_only_if_the_work_can_upset_it(works: list[Any], upset: bool) -> None:
    told = [
        Work(Table(name, (), ()), exists=True, inserts=inserts, deletes=deletes, updates=frozenset(updates))
        for name, inserts, deletes, updates in works
    ]
    assert bool(upset_foreign_keys([key("b", "a")], told)) is upset
