"""Chroma in a folder: two collections, one with an index that was written to its own files."""

from __future__ import annotations

from typing import Any

import chromadb
from chromadb.config import Settings

from tests.clients.drivers.words import PEOPLE, SIZE, memory_text, vector_of


class Words(chromadb.EmbeddingFunction):
    """Chroma's interface to an embedder."""

    def __init__(self) -> None: ...

    def __call__(self, input: list[str]) -> list[list[float]]:
        return [vector_of(text) for text in input]

    @staticmethod
    def name() -> str:
        return "words"

    def get_config(self) -> dict[str, Any]:
        return {}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> Words:
        return Words()


def _client(place: str) -> Any:
    return chromadb.PersistentClient(path=place, settings=Settings(anonymized_telemetry=False))


def seed(place: str) -> None:
    client = _client(place)
    # The index goes to its own files after so many changes; what comes after stands in the queue of the database.
    kept = {"hnsw": {"space": "cosine", "sync_threshold": 100, "batch_size": 50}}
    memories = client.create_collection("memories", embedding_function=Words(), configuration=kept)
    for start in range(0, 330, 30):
        numbers = range(start, start + 30)
        memories.add(
            ids=[f"m{one}" for one in numbers],
            documents=[memory_text(one) for one in numbers],
            metadatas=[{"user": PEOPLE[one % 3], "day": one, "heat": one / 7, "kept": one % 2 == 0} for one in numbers],
        )
    memories.delete(ids=["m3", "m4"])
    memories.update(ids=["m5"], documents=["bob moved to the sea"])
    notes = client.create_collection("notes", embedding_function=Words())
    notes.add(ids=["n1", "n2"], documents=["tea at five", "rain at nine"])


def more(place: str) -> Any:
    memories = _client(place).get_collection("memories", embedding_function=Words())
    memories.add(ids=["new"], documents=["dave likes chess"], metadatas=[{"user": "dave"}])
    return memories.query(query_texts=["dave likes chess"], n_results=1)["ids"]


def ask(place: str) -> Any:
    client = _client(place)
    found: dict[str, Any] = {}
    for name in sorted(one.name for one in client.list_collections()):
        collection = client.get_collection(name, embedding_function=Words())
        everything = collection.get(include=["documents", "metadatas", "embeddings"])
        found[name] = {
            "count": collection.count(),
            "all": sorted(
                zip(
                    everything["ids"], everything["documents"], everything["metadatas"],
                    [[float(one) for one in vector] for vector in everything["embeddings"]], strict=True,
                )
            ),
            "near": [
                collection.query(query_texts=[text], n_results=2, include=["documents", "distances"])
                for text in ("ann likes tea", "bob moved", "cold rain")
            ],
            "of bob": collection.query(query_texts=["jazz"], n_results=2, where={"user": "bob"}),
            "full text": sorted(collection.get(where_document={"$contains": "bicycle"})["ids"]),
        }  # fmt: skip
    assert len(found["memories"]["all"][0][3]) == SIZE
    return found


def wreck(place: str) -> None:
    client = _client(place)
    memories = client.get_collection("memories", embedding_function=Words())
    memories.delete(where={"user": "ann"})
    memories.update(ids=["m1"], documents=["nothing is left"])
    client.delete_collection("notes")
