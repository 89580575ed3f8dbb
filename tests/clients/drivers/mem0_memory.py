"""mem0 on pgvector or on Qdrant's local mode, with its history in SQLite; nothing is inferred, so no model is asked.

PLACE is the URL of a database, or a folder for Qdrant; the second one is the folder of the history.
"""

from __future__ import annotations

from typing import Any

from mem0 import Memory
from mem0.embeddings.base import EmbeddingBase

from tests.clients.drivers.words import PEOPLE, SIZE, memory_text, vector_of


class Words(EmbeddingBase):
    """mem0's interface to an embedder."""

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        return vector_of(text)


def _memory(place: str, folder: str) -> Memory:
    if "://" in place:
        store = {
            "provider": "pgvector",
            "config": {
                "connection_string": place, "collection_name": "memories", "embedding_model_dims": SIZE, "hnsw": True,
            },
        }  # fmt: skip
    else:
        store = {
            "provider": "qdrant",
            "config": {
                "path": place, "on_disk": True, "collection_name": "memories", "embedding_model_dims": SIZE,
            },
        }  # fmt: skip
    memory = Memory.from_config(
        {
            "vector_store": store,
            "embedder": {"provider": "openai", "config": {"api_key": "none", "embedding_dims": SIZE}},
            "llm": {"provider": "openai", "config": {"api_key": "none"}},
            "history_db_path": f"{folder}/history.db",
        }
    )
    memory.embedding_model = Words()
    return memory


def seed(place: str, folder: str) -> None:
    memory = _memory(place, folder)
    ids = []
    for one in range(40):
        added = memory.add(
            memory_text(one), user_id=PEOPLE[one % 3], metadata={"day": one, "heat": one / 7}, infer=False
        )
        ids.append(added["results"][0]["id"])
    memory.update(ids[1], "bob moved to the sea")
    memory.delete(ids[2])


def ask(place: str, folder: str) -> Any:
    memory = _memory(place, folder)
    found: dict[str, Any] = {}
    for person in PEOPLE:
        own = {"user_id": person}
        everything = memory.get_all(filters=own, top_k=100)["results"]
        found[person] = {
            "all": sorted(everything, key=lambda one: one["id"]),
            "near": [
                memory.search(text, filters=own, top_k=4, threshold=0.0)["results"]
                for text in ("likes tea", "old maps", "moved to the sea")
            ],
            "history": [memory.history(one["id"]) for one in sorted(everything, key=lambda one: one["id"])],
        }
    return found


def more(place: str, folder: str) -> Any:
    memory = _memory(place, folder)
    memory.add("dave likes chess", user_id="dave", infer=False)
    return [one["memory"] for one in memory.search("likes chess", filters={"user_id": "dave"}, top_k=1)["results"]]


def wreck(place: str, folder: str) -> None:
    memory = _memory(place, folder)
    memory.delete_all(user_id="ann")
    [first, *_] = memory.get_all(filters={"user_id": "bob"})["results"]
    memory.update(first["id"], "nothing is left")
    memory.add("this came later", user_id="ann", infer=False)


def reset(place: str, folder: str) -> None:
    """What mem0 itself does to forget everything."""
    _memory(place, folder).reset()
