"""txtai's index as a folder that it saves: texts in SQLite, vectors in Faiss, terms for full text."""

from __future__ import annotations

from typing import Any

import numpy as np
from txtai import Embeddings

from tests.clients.drivers.words import PEOPLE, memory_text, vector_of


def words(texts: list[str]) -> Any:
    """txtai's interface to an embedder from outside; its configuration names it."""
    return np.array([vector_of(text) for text in texts], dtype=np.float32)


def _loaded(place: str) -> Embeddings:
    embeddings = Embeddings()
    embeddings.load(place)
    return embeddings


def _row(number: int) -> tuple[str, dict[str, Any], None]:
    return f"m{number}", {"text": memory_text(number), "person": PEOPLE[number % 3], "heat": number / 7}, None


def seed(place: str) -> None:
    transform = "tests.clients.drivers.txtai_index.words"
    embeddings = Embeddings(method="external", transform=transform, content=True, hybrid=True)
    embeddings.index([_row(number) for number in range(60)])
    embeddings.delete(["m3", "m4"])
    embeddings.upsert([("m5", {"text": "bob moved to the sea", "person": "bob", "heat": 0.5}, None)])
    embeddings.save(place)


def more(place: str) -> Any:
    embeddings = _loaded(place)
    embeddings.upsert([("new", {"text": "dave likes chess", "person": "dave", "heat": 1.0}, None)])
    embeddings.save(place)
    return [one["text"] for one in _loaded(place).search("dave likes chess", 1)]


def ask(place: str) -> Any:
    embeddings = _loaded(place)
    return {
        "count": embeddings.count(),
        "all": embeddings.search("SELECT id, text, person, heat FROM txtai ORDER BY id", limit=100),
        "near": [embeddings.search(text, 3, weights=1.0) for text in ("ann likes tea", "bob moved", "cold rain")],
        "terms": [embeddings.search(text, 3, weights=0.0) for text in ("bicycle 6", "bob moved")],
        "of bob": embeddings.search("SELECT id, score FROM txtai WHERE similar('jazz') AND person = 'bob'", 3),
    }


def wreck(place: str) -> None:
    embeddings = _loaded(place)
    embeddings.delete([f"m{number}" for number in range(0, 60, 2)])
    embeddings.upsert([("m1", {"text": "nothing is left", "person": "", "heat": 0.0}, None)])
    embeddings.save(place)
