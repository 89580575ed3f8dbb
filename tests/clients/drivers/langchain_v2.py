"""LangChain's PGVectorStore: a table of its own with typed columns and an HNSW index."""

from __future__ import annotations

from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings as Interface
from langchain_postgres import Column, PGEngine, PGVectorStore
from langchain_postgres.v2.indexes import HNSWIndex

from tests.clients.drivers.words import PEOPLE, SIZE, Embeddings, memory_text


class Words(Embeddings, Interface):
    """Also with what the interface derives from its two methods."""


def _store(url: str, *, new: bool = False) -> PGVectorStore:
    engine = PGEngine.from_connection_string(url=url.replace("postgresql:", "postgresql+psycopg:"))
    columns = {"user": "TEXT", "day": "INTEGER"}
    if new:
        engine.init_vectorstore_table(
            table_name="agent memories", vector_size=SIZE, id_column=Column("id", "TEXT", nullable=False),
            metadata_columns=[Column(name, form) for name, form in columns.items()],
        )  # fmt: skip
    return PGVectorStore.create_sync(
        engine=engine, table_name="agent memories", embedding_service=Words(), metadata_columns=list(columns),
        id_column="id",
    )  # fmt: skip


def seed(url: str) -> None:
    store = _store(url, new=True)
    store.add_documents(
        [
            Document(page_content=memory_text(one), metadata={"user": PEOPLE[one % 3], "day": one, "heat": one / 7})
            for one in range(60)
        ],
        ids=[f"m{one}" for one in range(60)],
    )
    store.apply_vector_index(HNSWIndex(name="nearest"))


def ask(url: str) -> Any:
    store = _store(url)
    return {
        "near": [
            (one.id, one.page_content, one.metadata, score)
            for text in ("ann likes tea", "old maps", "jazz")
            for one, score in store.similarity_search_with_score(text, k=4)
        ],
        "of bob": [one.id for one in store.similarity_search("jazz", k=3, filter={"user": "bob", "day": {"$gt": 3}})],
        "by id": sorted((one.id, one.page_content) for one in store.get_by_ids(["m1", "m7"])),
        "index": store.is_valid_index("nearest"),
    }


def more(url: str) -> Any:
    store = _store(url)
    store.add_documents([Document(page_content="dave likes chess", metadata={"user": "dave", "day": 1})], ids=["new"])
    return [one.id for one in store.similarity_search("dave likes chess", k=1)]
