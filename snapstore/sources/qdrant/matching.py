"""Which points of a batch meet a condition: asked of a Qdrant in memory that holds them and nothing else.

    with matching(table, '{"must": [{"key": "user", "match": {"value": "ann"}}]}') as meets:
        meets(batch)                        # one truth for each row

The live collection is not touched. It is the client's local mode that judges, not the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Invalid
from snapstore.rows import Batch, Table
from snapstore.sources.patterns import mentioned
from snapstore.sources.qdrant.applying import insert_points
from snapstore.sources.qdrant.collections import drop_collection, make_collection
from snapstore.sources.qdrant.connection import in_memory
from snapstore.sources.qdrant.points import id_of, key_of
from snapstore.sources.qdrant.reading import condition_of

__all__ = ["matching"]


@contextmanager
def matching(table: Table, where: str) -> Iterator[Callable[[Batch], NDArray[np.bool_]]]:
    """As `Source.matching`."""
    condition, name = condition_of(table.name, where), table.definition["name"]
    left_out = mentioned(condition.model_dump_json(), map(key_of, table.definition.get("left_out", ())))
    if left_out:  # no point would have it, so none would meet a condition on it
        raise Invalid(
            f"the condition for {table.name} ({where}) is about {left_out}, which was left out",
            hint="choose points by what is held, or with --key",
        )
    session = in_memory()
    try:

        def meets(batch: Batch) -> NDArray[np.bool_]:
            make_collection(session, table)
            insert_points(session, table, [batch], lambda *_: None)
            found, _ = session.ask(
                f"the condition ({where}) cannot be tried",
                "scroll",
                collection_name=name,
                scroll_filter=condition,
                limit=len(batch) + 1,
                with_payload=False,
            )
            drop_collection(session, name)
            ids = {one.id for one in found}
            return np.fromiter((id_of(key or b"") in ids for key in batch.keys.to_list()), np.bool_, len(batch))

        yield meets
    finally:
        session.close()
