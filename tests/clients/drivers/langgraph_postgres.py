"""LangGraph on PostgreSQL: the store with vectors and times to live, and the checkpoints of two threads."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.store.postgres import PostgresStore

from tests.clients.drivers.words import PEOPLE, SIZE, Embeddings, memory_text

INDEX = {"dims": SIZE, "embed": Embeddings().embed_documents, "fields": ["text"]}
TTL = {"default_ttl": 60 * 24, "refresh_on_read": True}


class Talk(TypedDict):
    """The state of a thread."""

    said: Annotated[list[str], operator.add]


def _graph(saver: PostgresSaver) -> Any:
    graph = StateGraph(Talk)
    graph.add_node("answer", lambda state: {"said": [f"yes, {state['said'][-1]}"]})
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    return graph.compile(checkpointer=saver)


def _thread(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}


def seed(url: str) -> None:
    with PostgresStore.from_conn_string(url, index=INDEX, ttl=TTL) as store:
        store.setup()
        for one in range(60):
            value = {"text": memory_text(one), "day": one, "deep": {"heat": one / 7, "tags": ["a", None]}}
            store.put(("memories", PEOPLE[one % 3]), f"m{one}", value, ttl=None if one % 2 else 90)
        store.delete(("memories", "ann"), "m3")
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        graph = _graph(saver)
        for thread in ("one", "two"):
            for text in ("tea", "rain"):
                graph.invoke({"said": [text]}, _thread(thread))


def ask(url: str) -> Any:
    with PostgresStore.from_conn_string(url, index=INDEX, ttl=TTL) as store:
        store.setup()
        found = {
            "near": [
                (one.namespace, one.key, one.value, one.score, one.created_at)
                for text in ("ann likes tea", "old maps")
                for one in store.search(("memories",), query=text, limit=5, refresh_ttl=False)
            ],
            "of bob": [one.key for one in store.search(("memories", "bob"), filter={"day": 7}, refresh_ttl=False)],
            "one": store.get(("memories", "bob"), "m7", refresh_ttl=False).value,
            "namespaces": store.list_namespaces(),
        }
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        graph = _graph(saver)
        found["threads"] = {
            thread: [
                (state.values, state.next, state.config, state.created_at)
                for state in graph.get_state_history(_thread(thread))
            ]
            for thread in ("one", "two")
        }
    return found


def look(url: str) -> None:
    """Read as an agent does: the times to live are set anew."""
    with PostgresStore.from_conn_string(url, index=INDEX, ttl=TTL) as store:
        store.search(("memories",), query="tea", limit=50)
        store.get(("memories", "ann"), "m0")


def more(url: str) -> Any:
    with PostgresStore.from_conn_string(url, index=INDEX, ttl=TTL) as store:
        store.put(("memories", "dave"), "new", {"text": "dave likes chess"})
        keys = [one.key for one in store.search(("memories",), query="dave likes chess", limit=1)]
    with PostgresSaver.from_conn_string(url) as saver:
        return [keys, _graph(saver).invoke({"said": ["chess"]}, _thread("one"))["said"]]
