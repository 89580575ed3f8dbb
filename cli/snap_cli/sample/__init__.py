"""Memories to show and to measure with: real text, real embeddings, and how they relate.

    sample = load()             # 2,400 memories
    large = load(40_000)        # the same, tiled with new ids and a little noise
    sample.memories[0].content, sample.embeddings[0], sample.relationships[0]

Everything follows from the files beside this module and the count asked for, to the bit, on every machine. README.md
beside it says where texts and vectors come from. This module knows no database: who loads it chooses tables and times.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Invalid

__all__ = ["DIMENSIONS", "ROWS", "Memory", "Relationship", "Sample", "load"]

FOLDER = Path(__file__).parent
MEMORIES = "memories.jsonl"
EMBEDDINGS = "embeddings.f32.gz"
RELATIONSHIPS = "relationships.csv"

ROWS = 2400
DIMENSIONS = 384

# The low bits of a float32's mantissa that noise may set: a change of at most 2^-7 of each element.
_NOISE_BITS = 16


@dataclass(frozen=True, slots=True)
class Memory:
    """One thing an agent remembers: a paragraph, and the module and object it was read in."""

    id: str
    module: str
    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Relationship:
    """An edge between two memories, by id: `similar_to` (weight: cosine) or `same_module` (weight 1)."""

    source: str
    target: str
    kind: str
    weight: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Memories, their embeddings (float32, shape (n, 384), read-only, row i for memory i), and edges among them."""

    memories: tuple[Memory, ...]
    embeddings: NDArray[np.float32]
    relationships: tuple[Relationship, ...]


def load(rows: int | None = None) -> Sample:
    """The first `rows` memories; all 2,400 if not said.

    Beyond those the sample repeats, each time with new ids, a word of its own in the text, and noise in the lowest 16
    bits of every element of the embedding (so lengths stay within a thousandth of 1). Relationships stay within one
    repetition. Raises `Invalid` for fewer than one row.
    """
    count = ROWS if rows is None else rows
    if count < 1:
        raise Invalid(f"a sample of {count} rows was asked for", hint="Ask for at least one.")
    lines = (FOLDER / MEMORIES).read_text(encoding="utf-8").splitlines()
    base = [Memory(**json.loads(line)) for line in lines]
    vectors = _read_embeddings()
    with (FOLDER / RELATIONSHIPS).open(encoding="utf-8", newline="") as file:
        edges = [
            (int(source), int(target), kind, float(weight))
            for source, target, kind, weight in list(csv.reader(file))[1:]
        ]

    memories: list[Memory] = []
    embeddings = np.empty((count, DIMENSIONS), np.float32)
    relationships: list[Relationship] = []
    for tile, start in enumerate(range(0, count, ROWS)):
        size = min(ROWS, count - start)
        tiled = [_again(memory, tile) for memory in base[:size]]
        memories.extend(tiled)
        embeddings[start : start + size] = _noisy(vectors, tile)[:size]
        relationships.extend(
            Relationship(tiled[source].id, tiled[target].id, kind, weight)
            for source, target, kind, weight in edges
            if source < size and target < size
        )
    embeddings.flags.writeable = False
    return Sample(tuple(memories), embeddings, tuple(relationships))


def _read_embeddings() -> NDArray[np.float32]:
    planes = np.frombuffer(gzip.decompress((FOLDER / EMBEDDINGS).read_bytes()), np.uint8).reshape(4, -1)
    return np.ascontiguousarray(planes.T).reshape(-1).view("<f4").astype(np.float32).reshape(ROWS, DIMENSIONS)


def _again(memory: Memory, tile: int) -> Memory:
    if tile == 0:
        return memory
    identity = hashlib.sha256(f"{memory.id}/{tile}".encode()).hexdigest()[:16]
    return Memory(f"mem_{identity}", memory.module, memory.name, f"{memory.content} (noted again, {tile})")


def _noisy(vectors: NDArray[np.float32], tile: int) -> NDArray[np.float32]:
    """The vectors with their lowest mantissa bits drawn anew.

    Bits, not floats: the raw stream of a bit generator is the same in every version of numpy (NEP 19), and no sum is
    rounded differently on another processor.
    """
    if tile == 0:
        return vectors
    drawn = np.random.PCG64(tile).random_raw(vectors.size).astype(np.uint32) & np.uint32(2**_NOISE_BITS - 1)
    kept = np.ascontiguousarray(vectors).view(np.uint32) & np.uint32(2**32 - 2**_NOISE_BITS)
    return (kept | drawn.reshape(kept.shape)).view(np.float32)
