"""LlamaIndex on PostgreSQL: a hybrid table with a generated text column and an HNSW index."""

from __future__ import annotations

from typing import Any

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from llama_index.vector_stores.postgres import PGVectorStore

from tests.clients.drivers.words import PEOPLE, SIZE, memory_text, vector_of


def _store(url: str) -> PGVectorStore:
    return PGVectorStore.from_params(
        connection_string=url.replace("postgresql:", "postgresql+psycopg2:"),
        async_connection_string=url.replace("postgresql:", "postgresql+asyncpg:"),
        table_name="memories", embed_dim=SIZE, hybrid_search=True, text_search_config="english", use_jsonb=True,
        hnsw_kwargs={
            "hnsw_m": 16, "hnsw_ef_construction": 64, "hnsw_ef_search": 200, "hnsw_dist_method": "vector_cosine_ops",
        },
    )  # fmt: skip


def _node(name: str, text: str, **metadata: Any) -> TextNode:
    return TextNode(id_=name, text=text, metadata=metadata, embedding=vector_of(text))


def seed(url: str) -> None:
    store = _store(url)
    store.add([_node(f"m{one}", memory_text(one), user=PEOPLE[one % 3], day=one, heat=one / 7) for one in range(60)])
    store.delete_nodes(["m3"])


def ask(url: str) -> Any:
    store = _store(url)
    bob = MetadataFilters(filters=[MetadataFilter(key="user", value="bob")])

    def query(text: str, **more: Any) -> Any:
        found = store.query(VectorStoreQuery(query_embedding=vector_of(text), similarity_top_k=4, **more))
        scored = zip(found.nodes, found.similarities, strict=True)
        return [(node.node_id, node.text, node.metadata, score) for node, score in scored]

    return {
        "near": [query(text) for text in ("ann likes tea", "old maps", "jazz")],
        "of bob": query("jazz", filters=bob),
        # All that match: among equal ranks the client leaves the order to the heap.
        "full text": sorted(
            query("tea", query_str="bicycle", mode=VectorStoreQueryMode.SPARSE, sparse_top_k=99), key=str
        ),
        "nodes": sorted(node.node_id for node in store.get_nodes(filters=bob)),
    }


def more(url: str) -> Any:
    store = _store(url)
    store.add([_node("new", "dave likes chess")])
    return store.query(VectorStoreQuery(query_embedding=vector_of("dave likes chess"), similarity_top_k=1)).ids
