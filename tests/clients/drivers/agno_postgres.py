"""agno on PostgreSQL: memories and sessions of its database, and a table of vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agno.db.base import SessionType
from agno.db.postgres import PostgresDb
from agno.db.schemas.memory import UserMemory
from agno.knowledge.document import Document
from agno.knowledge.embedder.base import Embedder
from agno.session import AgentSession
from agno.vectordb.pgvector import PgVector

from tests.clients.drivers.words import PEOPLE, SIZE, memory_text, vector_of


@dataclass
class Words(Embedder):
    """agno's interface to an embedder."""

    dimensions: int = SIZE

    def get_embedding(self, text: str) -> list[float]:
        return vector_of(text)

    def get_embedding_and_usage(self, text: str) -> tuple[list[float], dict[str, Any] | None]:
        return vector_of(text), None


def _database(url: str) -> PostgresDb:
    return PostgresDb(db_url=url.replace("postgresql:", "postgresql+psycopg:"))


def _vectors(url: str) -> PgVector:
    return PgVector(
        table_name="knowledge_vectors", schema="ai", db_url=url.replace("postgresql:", "postgresql+psycopg:"),
        embedder=Words(),
    )  # fmt: skip


def seed(url: str) -> None:
    database = _database(url)
    for one in range(40):
        database.upsert_user_memory(
            UserMemory(
                memory=memory_text(one), memory_id=f"m{one}", user_id=PEOPLE[one % 3], topics=["likes", str(one)]
            )
        )
    database.upsert_session(
        AgentSession(
            session_id="s1", agent_id="helper", user_id="ann", session_data={"heat": 0.1}, created_at=1_700_000_000
        )
    )
    vectors = _vectors(url)
    vectors.create()
    documents = [
        Document(id=f"d{one}", name=f"doc {one}", content=memory_text(one), meta_data={"user": PEOPLE[one % 3]})
        for one in range(40)
    ]
    vectors.upsert("hash", documents)


def ask(url: str) -> Any:
    database, vectors = _database(url), _vectors(url)
    session = database.get_session("s1", SessionType.AGENT)
    return {
        "memories": {
            person: sorted(
                (one.memory_id, one.memory, one.topics, one.updated_at)
                for one in database.get_user_memories(user_id=person)
            )
            for person in PEOPLE
        },
        "session": session.to_dict(),
        "near": [
            [(one.id, one.name, one.content, one.meta_data) for one in vectors.search(text, limit=4)]
            for text in ("ann likes tea", "old maps")
        ],
        "of bob": [one.id for one in vectors.search("jazz", limit=3, filters={"user": "bob"})],
    }


def more(url: str) -> Any:
    _database(url).upsert_user_memory(UserMemory(memory="dave likes chess", memory_id="new", user_id="dave"))
    vectors = _vectors(url)
    vectors.upsert("new", [Document(id="new", name="new", content="dave likes chess")])
    return [
        [one.memory_id for one in _database(url).get_user_memories(user_id="dave")],
        [one.name for one in vectors.search("dave likes chess", limit=1)],
    ]
