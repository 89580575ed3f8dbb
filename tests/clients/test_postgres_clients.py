"""Clients whose memory is in PostgreSQL with pgvector: whatever was done to rows and tables, they answer as before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import Snap, rows, run
from tests.clients.session import Client, Held, needs

_OWN = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
"""
_TEXTS = """
SELECT format('%I.%I', table_schema, table_name), column_name FROM information_schema.columns c
JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND data_type IN ('text', 'character varying')
    AND is_generated = 'NEVER' AND table_type = 'BASE TABLE' AND NOT EXISTS (
        SELECT FROM information_schema.key_column_usage k
        WHERE (k.table_schema, k.table_name, k.column_name) = (c.table_schema, c.table_name, c.column_name)
    ) ORDER BY 1, 2
"""


def lose(url: str) -> None:
    """About half the rows of every table are gone; what refers to them too."""
    for (table,) in rows(url, _OWN):
        run(url, f"DELETE FROM {table} t WHERE hashtext(t::text) % 2 = 0")


def garble(url: str) -> None:
    """Every text that is no key says something else."""
    for table, column in rows(url, _TEXTS):
        run(url, f'UPDATE {table} SET "{column}" = \'garbled\' || left("{column}", 3)')


def drop(url: str) -> None:
    """The tables and schemas themselves are gone."""
    for (table,) in rows(url, _OWN):
        run(url, f"DROP TABLE IF EXISTS {table} CASCADE")
    run(url, "DROP SCHEMA IF EXISTS ai CASCADE")


CLIENTS = [
    pytest.param("langchain_v1", marks=needs("langchain_postgres"), id="LangChain PGVector"),
    pytest.param("langchain_v2", marks=needs("langchain_postgres"), id="LangChain PGVectorStore"),
    pytest.param("langgraph_postgres", marks=needs("langgraph", "langgraph.store.postgres"), id="LangGraph"),
    pytest.param("llamaindex_postgres", marks=needs("llama_index.vector_stores.postgres"), id="LlamaIndex"),
    pytest.param("agno_postgres", marks=needs("agno", "pgvector"), id="agno"),
    pytest.param("letta_postgres", marks=needs("letta", "asyncpg"), id="Letta"),
]


@pytest.mark.parametrize("driver", CLIENTS)
def test_a_client_of_postgresql_answers_as_before(driver: str, snap: Snap, databases: Callable[..., str]) -> None:
    url = databases(vector=True)
    client = Client(driver, (url,))
    client.run("seed")
    held = Held(snap, client, [url])
    for wreck in (lose, garble, drop):
        wreck(url)
        held.comes_back()
    before = client.run("more")
    assert "new" in str(before)
    held.comes_back()


@pytest.mark.parametrize("driver", CLIENTS)
def test_a_client_of_postgresql_moves_to_an_empty_database(
    driver: str, snap: Snap, databases: Callable[..., str]
) -> None:
    url, empty = databases(vector=True), databases()
    client = Client(driver, (url,))
    client.run("seed")
    held = Held(snap, client, [url])
    snap("restore", held.id, "--to", empty, "--yes")
    moved = Client(driver, (empty,))
    assert moved.run("ask") == held.answers
    assert "new" in str(moved.run("more"))


@needs("mem0", "langchain_core")
def test_mem0_on_pgvector_answers_as_before(folder: Path, snap: Snap, databases: Callable[..., str]) -> None:
    url = databases(vector=True)
    client = Client("mem0_memory", (url, str(folder)))
    client.run("seed")
    held = Held(snap, client, [url, f"sqlite://{folder}/history.db"])
    client.run("wreck")
    assert not held.is_there()
    held.comes_back()
    for wreck in (lose, garble, drop):
        wreck(url)
        held.comes_back()
    client.run("reset")
    held.comes_back()
    (folder / "history.db").unlink()
    held.comes_back()
    assert client.run("more") == ["dave likes chess"]
    held.comes_back()


@needs("langgraph", "langgraph.store.postgres")
def test_times_that_reading_moves_can_be_ignored(snap: Snap, databases: Callable[..., str]) -> None:
    url = databases(vector=True)
    client = Client("langgraph_postgres", (url,))
    client.run("seed")
    held = Held(snap, client, [url])
    [look] = snap.json("sources", url)["sources"]
    assert look["known"][0]["ignored"] == ["public.store.expires_at"]
    client.run("look")
    assert "expires_at" in snap("diff", held.id, "live", "--rows").stdout
    ignored = snap("diff", held.id, "live", "--rows", "--ignore-column", look["known"][0]["ignored"][0])
    assert "not compared: public.store.expires_at" in ignored.stdout + ignored.stderr
