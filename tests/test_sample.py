"""The sample is the same bits everywhere, at any size, and says where it comes from."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np
import pytest

from snap_cli.sample import DIMENSIONS, ROWS, Sample, load
from snapstore.errors import Invalid


def embeddings_digest(sample: Sample) -> str:
    return hashlib.sha256(sample.embeddings.astype("<f4").tobytes()).hexdigest()


def test_the_sample_is_these_bits(memory_rows: Sample) -> None:
    assert len(memory_rows.memories) == ROWS
    assert memory_rows.embeddings.shape == (ROWS, DIMENSIONS)
    assert memory_rows.embeddings.dtype == np.float32
    assert embeddings_digest(memory_rows) == "e7b25f76bf7d4f5251a83e460ade11361535686c49c673c588352ad344b39e50"


def test_a_larger_sample_is_these_bits_on_every_machine() -> None:
    assert embeddings_digest(load(5000)) == "eafc8e1b05a6656298e6e0f94f37372ab24f90257030566434c35da4a13bb5f5"


def test_embeddings_are_near_unit_length_and_read_only() -> None:
    sample = load(5000)
    assert np.abs(np.linalg.norm(sample.embeddings, axis=1) - 1).max() < 1e-3
    assert not sample.embeddings.flags.writeable


def test_a_repetition_resembles_the_original_and_equals_it_nowhere(memory_rows: Sample) -> None:
    again = load(2 * ROWS)
    cosines = (again.embeddings[ROWS:] * memory_rows.embeddings).sum(axis=1)
    assert cosines.min() > 0.99
    assert len(np.unique(again.embeddings, axis=0)) == 2 * ROWS
    assert len({memory.content for memory in again.memories}) == 2 * ROWS


@pytest.mark.parametrize("rows", [1, 100, ROWS, ROWS + 1, 20_000])
def test_a_sample_of_any_size_has_unique_ids_and_edges_within(rows: int) -> None:
    sample = load(rows)
    ids = {memory.id for memory in sample.memories}
    assert len(ids) == len(sample.memories) == len(sample.embeddings) == rows
    assert all(edge.source in ids and edge.target in ids for edge in sample.relationships)
    assert len({(edge.source, edge.target, edge.kind) for edge in sample.relationships}) == len(sample.relationships)


def test_a_smaller_sample_begins_the_larger(memory_rows: Sample) -> None:
    few = load(10)
    assert few.memories == memory_rows.memories[:10]
    assert np.array_equal(few.embeddings, memory_rows.embeddings[:10])


def test_similar_memories_are_similar(memory_rows: Sample) -> None:
    place = {memory.id: at for at, memory in enumerate(memory_rows.memories)}
    for edge in memory_rows.relationships:
        source, target = memory_rows.embeddings[place[edge.source]], memory_rows.embeddings[place[edge.target]]
        if edge.kind == "similar_to":
            assert float(source @ target) == pytest.approx(edge.weight, abs=1e-3)
        else:
            assert edge.kind == "same_module"
            assert memory_rows.memories[place[edge.source]].module == memory_rows.memories[place[edge.target]].module


def test_every_memory_has_similar_ones(memory_rows: Sample) -> None:
    sources = {edge.source for edge in memory_rows.relationships if edge.kind == "similar_to"}
    assert sources == {memory.id for memory in memory_rows.memories}


def test_no_rows_are_refused() -> None:
    with pytest.raises(Invalid, match="0 rows"):
        load(0)


def test_licences_come_with_the_texts() -> None:
    folder = files("snap_cli.sample")
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in (folder / "LICENSE-PSF.txt").read_text(encoding="utf-8")
    assert "Apache-2.0" in (folder / "README.md").read_text(encoding="utf-8")
