"""Letta's server on PostgreSQL: an agent with blocks of memory, messages, and an archive of passages with vectors."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from tests.clients.drivers.words import PEOPLE, SIZE, memory_text, vector_of

_WIDTH = 4096
"""Letta fills each vector up with zeros to this size."""


def _use(url: str) -> None:
    """What Letta reads when it is imported: its types of columns depend on it."""
    # It takes the user of a URL without a host for the host.
    os.environ["PGUSER"] = str(conninfo_to_dict(url)["user"])
    os.environ |= {"LETTA_PG_URI": url, "LETTA_DISABLE_SQLALCHEMY_POOLING": "true", "LETTA_DIR": tempfile.gettempdir()}


def _run(url: str, deed: Callable[[Any], Awaitable[Any]]) -> Any:
    _use(url)
    from letta.services.organization_manager import OrganizationManager
    from letta.services.user_manager import UserManager

    async def run() -> Any:
        await OrganizationManager().create_default_organization_async()
        return await deed(await UserManager().create_default_actor_async())

    return asyncio.run(run())


def _configs() -> tuple[Any, Any]:
    from letta.schemas.embedding_config import EmbeddingConfig
    from letta.schemas.llm_config import LLMConfig

    return LLMConfig.default_config("gpt-4o-mini"), EmbeddingConfig(
        embedding_endpoint_type="openai", embedding_model="words", embedding_dim=SIZE, embedding_chunk_size=300
    )


async def _remember(actor: Any, archive_id: str, number: int, text: str) -> None:
    from letta.schemas.passage import Passage
    from letta.services.passage_manager import PassageManager

    await PassageManager().create_agent_passage_async(
        Passage(
            id=f"passage-00000000-0000-4000-8000-{number:012}", archive_id=archive_id, text=text,
            embedding=vector_of(text), embedding_config=_configs()[1], organization_id=actor.organization_id,
            tags=[PEOPLE[number % 3]], metadata={"day": number},
            created_at=datetime(2026, 1, 1, number % 24, tzinfo=UTC),
        ),
        actor,
    )  # fmt: skip


async def _archive(actor: Any) -> str:
    from letta.services.archive_manager import ArchiveManager

    (one,) = await ArchiveManager().list_archives_async(actor=actor, name="memories")
    return str(one.id)


async def _agent(actor: Any) -> str:
    from letta.services.agent_manager import AgentManager

    (one,) = await AgentManager().list_agents_async(actor=actor, name="helper")
    return str(one.id)


def seed(url: str) -> None:
    _use(url)
    from letta.orm import Base
    from sqlalchemy import create_engine, text

    with create_engine(url).begin() as connection:
        Base.metadata.create_all(connection)
        # Letta's migrations, which its package leaves out, number messages by a sequence.
        connection.execute(text("CREATE SEQUENCE IF NOT EXISTS message_seq_id"))
        connection.execute(text("ALTER TABLE messages ALTER sequence_id SET DEFAULT nextval('message_seq_id')"))

    async def deed(actor: Any) -> None:
        from letta.schemas.agent import CreateAgent
        from letta.schemas.block import CreateBlock
        from letta.services.agent_manager import AgentManager
        from letta.services.archive_manager import ArchiveManager

        model, embedder = _configs()
        blocks = [CreateBlock(label="human", value="ann"), CreateBlock(label="persona", value="patient")]
        asked = CreateAgent(
            name="helper", memory_blocks=blocks, llm_config=model, embedding_config=embedder, tags=["own"],
            include_base_tools=False,
        )  # fmt: skip
        agent = await AgentManager().create_agent_async(asked, actor)
        archive = await ArchiveManager().create_archive_async("memories", embedder, "what is known", actor)
        await ArchiveManager().attach_agent_to_archive_async(agent.id, archive.id, True, actor)
        for number in range(40):
            await _remember(actor, archive.id, number, memory_text(number))

    _run(url, deed)


def more(url: str) -> Any:
    async def deed(actor: Any) -> Any:
        from letta.services.agent_manager import AgentManager

        await _remember(actor, await _archive(actor), 999, "dave likes the new chess")
        found = await AgentManager().query_agent_passages_async(
            actor, agent_id=await _agent(actor), query_text="new chess"
        )
        return [one.text for one, *_ in found]

    return _run(url, deed)


def ask(url: str) -> Any:
    async def deed(actor: Any) -> Any:
        from letta.orm import ArchivalPassage
        from letta.server.db import db_registry
        from letta.services.agent_manager import AgentManager
        from letta.services.passage_manager import PassageManager
        from sqlalchemy import select

        agents = AgentManager()
        agent = await agents.get_agent_by_id_async(await _agent(actor), actor)
        passages = await agents.query_agent_passages_async(actor, agent_id=agent.id, limit=None)
        near = []
        async with db_registry.async_session() as session:
            for text in ("ann likes tea", "cold rain"):
                distance = ArchivalPassage.embedding.cosine_distance(vector_of(text) + [0.0] * (_WIDTH - SIZE))
                asked = select(ArchivalPassage.text, distance).order_by(distance, ArchivalPassage.id).limit(4)
                near.append([list(row) for row in (await session.execute(asked)).all()])
        return {
            "blocks": sorted((one.label, one.value) for one in agent.memory.blocks),
            "agent": [agent.name, agent.system, agent.tags],
            "messages": [one.model_dump(mode="json") for one in await agents.get_in_context_messages(agent.id, actor)],
            "all": [
                [one.id, one.text, one.tags, one.metadata, one.embedding, str(one.created_at)] for one, *_ in passages
            ],
            "near": near,
            "found": [
                one.text
                for one, *_ in await agents.query_agent_passages_async(actor, agent_id=agent.id, query_text="bicycle")
            ],
            "tags": await PassageManager().get_tag_counts_for_archive_async(await _archive(actor), actor),
        }

    return _run(url, deed)
