"""Vectors without a model: each word has a direction that its SHA-256 decides, a text is the sum of its words.

vector_of("tea is hot")     # 8 floats of length 1, the same on every machine
"""

from __future__ import annotations

import hashlib
import math

SIZE = 8
THINGS = ("tea", "coffee", "a garden", "the sea", "old maps", "cold rain", "a red bicycle", "jazz")
PEOPLE = ("ann", "bob", "chloë")


def vector_of(text: str) -> list[float]:
    """The vector of a text, of `SIZE` elements."""
    total = [0.0] * SIZE
    for word in text.lower().split():
        digest = hashlib.sha256(word.encode()).digest()
        for at in range(SIZE):
            total[at] += digest[at] / 127.5 - 1
    length = math.sqrt(sum(one * one for one in total)) or 1.0
    return [one / length for one in total]


class Embeddings:
    """The interface of LangChain's embedders, by its two methods."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector for each."""
        return [vector_of(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question."""
        return vector_of(text)


def memory_text(number: int) -> str:
    """The text of one memory; no two are alike."""
    return f"{PEOPLE[number % 3]} likes {THINGS[number % 8]} on day {number}"
