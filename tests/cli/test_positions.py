"""Mistakes in snap.toml are told with their place: every key is found where it stands."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snap_cli.positions import Position, position_of, positions

TEXT = '''# "a" = 1
name = 'x'
[sources.a]
  url = """one
[not.a.header]
two = 2"""
tables = [
  'a', # ]
  "b]"
]
where = { memories = "x = 1", "a.b" = 'c' }
roles.memory = 'z'
[sources."b.c".roles] # not d
memory = 3
[[links]]
from = 'a'
[[links]]
from = 'b'
[links.sub]
q=1
'''


def test_every_key_is_found_where_it_stands() -> None:
    found = positions(TEXT)
    assert {path: (own.line, own.column, own.value_column) for path, own in found.items()} == {
        ("name",): (2, 1, 8),
        ("sources",): (3, 2, 2),
        ("sources", "a"): (3, 10, 10),
        ("sources", "a", "url"): (4, 3, 9),
        ("sources", "a", "tables"): (7, 1, 10),
        ("sources", "a", "where"): (11, 1, 9),
        ("sources", "a", "where", "memories"): (11, 11, 22),
        ("sources", "a", "where", "a.b"): (11, 31, 39),
        ("sources", "a", "roles"): (12, 1, 16),
        ("sources", "a", "roles", "memory"): (12, 7, 16),
        ("sources", "b.c"): (13, 10, 10),
        ("sources", "b.c", "roles"): (13, 16, 16),
        ("sources", "b.c", "roles", "memory"): (14, 1, 10),
        ("links", 0): (15, 3, 3),
        ("links", 0, "from"): (16, 1, 8),
        ("links", 1): (17, 3, 3),
        ("links", 1, "from"): (18, 1, 8),
        ("links", 1, "sub"): (19, 8, 8),
        ("links", 1, "sub", "q"): (20, 1, 3),
    }
    assert position_of(found, ("links", 1, "nothing", "at all")) == Position(17, 3, 3)
    assert positions(TEXT.replace("\n", "\r\n")) == found


words = st.text(st.sampled_from("ab.-_ =#[]\"'{}é"), min_size=1, max_size=4)
texts = st.text(st.sampled_from("ab.=#[]\"'{}\n ,\\é"), max_size=8)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@given(st.dictionaries(words, st.dictionaries(words, texts | st.lists(texts, max_size=3), max_size=3), max_size=3))
def test_whatever_keys_and_values_are_made_of_lines_are_counted_right(tables: dict[str, dict[str, Any]]) -> None:
    lines: list[str] = []
    expected: dict[tuple[str | int, ...], int] = {}
    for name, own in tables.items():
        lines.append(f" [ {quoted(name)} ] # [x]")
        expected[name,] = len(lines)
        for key, value in own.items():
            expected[name, key] = len(lines) + 1
            if isinstance(value, str):
                lines += [f"{quoted(key)} = {quoted(value)}"]
            else:
                lines += [f"{quoted(key)} = [", *(f"  {quoted(one)}, # ]" for one in value), "]", ""]
    text = "\n".join(lines)
    assert tomllib.loads(text) == tables
    assert {path: own.line for path, own in positions(text).items()} == expected


@pytest.mark.parametrize("text", ["", "\n\n# nothing\n"])
def test_a_text_without_keys_has_no_positions(text: str) -> None:
    assert positions(text) == {}
