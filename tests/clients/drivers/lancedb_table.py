"""LanceDB in a folder: a table of several versions."""

from __future__ import annotations

from typing import Any

import lancedb

from tests.clients.drivers.words import PEOPLE, memory_text, vector_of


def _rows(numbers: range) -> list[dict[str, Any]]:
    return [
        {"id": one, "text": memory_text(one), "user": PEOPLE[one % 3], "vector": vector_of(memory_text(one))}
        for one in numbers
    ]


def seed(place: str) -> None:
    table = lancedb.connect(place).create_table("memories", _rows(range(300)))
    table.add(_rows(range(300, 320)))
    table.delete("id = 7")
    table.update(where="id = 8", values={"text": "bob moved to the sea"})
    table.create_scalar_index("user", index_type="BITMAP")
    table.create_fts_index("text", use_tantivy=False)


def ask(place: str) -> Any:
    table = lancedb.connect(place).open_table("memories")
    return {
        "version": table.version,
        "count": table.count_rows(),
        "all": table.search().limit(1000).to_list(),
        "near": table.search(vector_of("ann likes tea")).limit(5).to_list(),
        "of bob": table.search(vector_of("jazz")).where("user = 'bob'").limit(5).to_list(),
        "full text": sorted(one["id"] for one in table.search("bicycle", query_type="fts").limit(100).to_list()),
        "indexes": sorted(str(one) for one in table.list_indices()),
    }


def more(place: str) -> Any:
    table = lancedb.connect(place).open_table("memories")
    table.add([{"id": 999, "text": "dave likes chess", "user": "dave", "vector": vector_of("dave likes chess")}])
    return [one["id"] for one in table.search(vector_of("dave likes chess")).limit(1).to_list()]


def wreck(place: str) -> None:
    database = lancedb.connect(place)
    table = database.open_table("memories")
    table.delete("user = 'ann'")
    table.update(where="id = 8", values={"text": "nothing is left"})
    database.create_table("other", _rows(range(3)))
