"""LangChain's PGVector: two collections of different dimensions in one table."""

from __future__ import annotations

from typing import Any

from langchain_core.documents import Document
from langchain_postgres import PGVector

from tests.clients.drivers.words import PEOPLE, Embeddings, memory_text


class Short(Embeddings):
    """Vectors of three elements."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [vector[:3] for vector in super().embed_documents(texts)]

    def embed_query(self, text: str) -> list[float]:
        return super().embed_query(text)[:3]


def _store(url: str, name: str = "memories") -> PGVector:
    embeddings = Short() if name == "notes" else Embeddings()
    return PGVector(
        embeddings=embeddings, collection_name=name, connection=url.replace("postgresql:", "postgresql+psycopg:")
    )


def _documents(numbers: range) -> list[Document]:
    return [
        Document(page_content=memory_text(one), metadata={"user": PEOPLE[one % 3], "day": one, "heat": one / 7})
        for one in numbers
    ]


def seed(url: str) -> None:
    _store(url).add_documents(_documents(range(60)), ids=[f"m{one}" for one in range(60)])
    _store(url, "notes").add_documents(_documents(range(5)), ids=[f"n{one}" for one in range(5)])


def ask(url: str) -> Any:
    found = {}
    for name in ("memories", "notes"):
        store = _store(url, name)
        found[name] = {
            "near": [
                (one.id, one.page_content, one.metadata, score)
                for text in ("ann likes tea", "old maps", "jazz")
                for one, score in store.similarity_search_with_score(text, k=4)
            ],
            "of bob": [
                (one.id, score)
                for one, score in store.similarity_search_with_score(
                    "jazz", k=3, filter={"user": {"$eq": "bob"}, "day": {"$gt": 3}}
                )
            ],
            "by id": sorted((one.id, one.page_content) for one in store.get_by_ids(["m1", "m7", "n3"])),
        }
    return found


def more(url: str) -> Any:
    store = _store(url)
    store.add_documents([Document(page_content="dave likes chess", metadata={})], ids=["new"])
    return [one.id for one in store.similarity_search("dave likes chess", k=1)]
