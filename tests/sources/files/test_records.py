"""Files that are lists of records are compared record by record, and all others are not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.sources.files.records import RecordChange, changes_of, records_of

GRAPH: list[dict[str, object]] = [
    {"type": "entity", "name": "ann", "entityType": "person", "observations": ["likes tea"]},
    {"type": "entity", "name": "bob", "entityType": "person", "observations": []},
    {"type": "relation", "from": "ann", "to": "bob", "relationType": "knows"},
]
NOTE = """---
title: Tea
tags: [drink, hot]
nested:
  deep: 1
---

First words.

# How
Water.

```
# no heading
```
## Why
It is warm.
"""


def lines(values: list[dict[str, object]]) -> bytes:
    return "\n".join(json.dumps(value) for value in values).encode()


def test_a_knowledge_graph_is_entities_and_relations() -> None:
    found = records_of(b"dir/memory.jsonl", lines(GRAPH))
    assert found is not None
    assert list(found) == ["entity ann", "entity bob", "relation ann knows bob"]


def test_a_difference_of_graphs_is_one_of_records() -> None:
    after = [GRAPH[2], {**GRAPH[0], "observations": ["likes coffee"]}, {**GRAPH[1], "name": "eve"}]
    changes = changes_of(b"memory.jsonl", lines(GRAPH), lines(after))
    assert changes is not None
    assert [(one.what, one.record) for one in changes] == [
        ("changed", "entity ann"), ("added", "entity eve"), ("removed", "entity bob"),
    ]  # fmt: skip
    assert changes[0].before is not None
    assert "likes tea" in changes[0].before


def test_the_order_and_the_writing_of_records_do_not_count() -> None:
    before, after = b'{"id":1,"a":2}\n{"id":2}', b'{"id": 2}\n\n{"a": 2, "id": 1}\n'
    assert changes_of(b"x.jsonl", before, after) == []


def test_records_of_one_name_are_told_apart() -> None:
    assert records_of(b"x.jsonl", b'{"id":1}\n{"id":1}\n[1]\n') == {
        "id 1": '{"id": 1}', "id 1 (2)": '{"id": 1}', "[1]": "[1]",
    }  # fmt: skip


def test_a_note_is_its_fields_and_sections() -> None:
    found = records_of(b"tea.md", NOTE.encode())
    assert found is not None
    assert list(found) == ["field title", "field tags", "field nested", "text", "section How", "section Why"]
    assert found["field nested"] == "nested:\n  deep: 1"
    assert "# no heading" in found["section How"]


def test_a_difference_of_notes_names_the_field() -> None:
    after = NOTE.replace("[drink, hot]", "[drink]").replace("Water.", "Boiling water.")
    assert changes_of(b"tea.md", NOTE.encode(), after.encode()) == [
        RecordChange("changed", "field tags", "tags: [drink, hot]", "tags: [drink]"),
        RecordChange("changed", "section How", "# How\nWater.\n\n```\n# no heading\n```",
                     "# How\nBoiling water.\n\n```\n# no heading\n```"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (b"a.txt", b"{}"), (b"a.md", b"# no front matter"), (b"a.md", b"---\nno: end"), (b"a.md", b""),
        (b"a.jsonl", b"{not json"), (b"a.jsonl", b"\xff"), (b"a.jsonl", b"[" * 100_000), (b"a.md", b"\xff\xfe"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_records_is_none(path: bytes, content: bytes) -> None:
    assert records_of(path, content) is None
    assert changes_of(path, content, content) is None


@given(st.sampled_from([b"a.jsonl", b"a.md"]), st.one_of(st.binary(), st.text().map(lambda one: one.encode())))
def test_any_bytes_have_records_or_none(path: bytes, content: bytes) -> None:
    found = records_of(path, content)
    assert found is None or changes_of(path, content, content) == []
