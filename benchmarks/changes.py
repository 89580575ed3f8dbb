"""What happens to memory between two nights, in SQL: one statement a table, the same in every run.

    bench.execute(url, *CHANGES["decay"](day=3, tables=["memories"], dimensions=384))

New embeddings are made in the database, from those that are there and a vector of noise drawn from the day: other bits,
the same length.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

__all__ = ["CHANGES", "EVERY_NIGHT", "calendar", "edit_some"]

Change = Callable[[int, Sequence[str], int], list[str]]

EVERY_NIGHT = ("decay", "counters", "edits", "random appends", "ordered appends")


def calendar(days: int) -> list[tuple[str, ...]]:
    """What happens before each night: nothing before the first, then each kind on its own, then all of them nightly.

    Once, beside that, a clean-up, once a re-embedding of everything, and now and then an idle day.
    """
    nights: list[tuple[str, ...]] = [(), *[(kind,) for kind in EVERY_NIGHT], ()]
    nights += [EVERY_NIGHT] * (days - len(nights))
    for night, kinds in ((14, ("clean-up",)), (20, ("re-embedding",)), (27, ())):
        if night < len(nights):
            nights[night] = kinds
    return nights[:days]


def edit_some(table: str, count: int, rows: int, day: int, dimensions: int = 0) -> str:
    """New text, and a new embedding if there is one, for `count` rows scattered over the whole table."""
    chosen = f"SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM {table}) AS placed "
    chosen += f"WHERE place % {max(1, rows // count)} = {max(1, rows // count) // 2} LIMIT {count}"
    if not dimensions:
        return f"UPDATE {table} SET session = 'edited ' || {day}, heat = heat + 1 WHERE id IN ({chosen})"
    return f"UPDATE {table} SET {_anew(day, dimensions)} WHERE id IN ({chosen})"


def _decay(_day: int, tables: Sequence[str], _dimensions: int) -> list[str]:
    return [f"UPDATE {table} SET heat = heat * 0.97" for table in tables]


def _counters(day: int, tables: Sequence[str], _dimensions: int) -> list[str]:
    return [
        f"UPDATE {table} SET access_count = access_count + 1, accessed_at = accessed_at + interval '1 day' "
        f"WHERE {_share(day, 'read', 20)}"
        for table in tables
    ]


def _edits(day: int, tables: Sequence[str], dimensions: int) -> list[str]:
    return [f"UPDATE {table} SET {_anew(day, dimensions)} WHERE {_share(day, 'edit', 100)}" for table in tables]


def _random_appends(day: int, tables: Sequence[str], dimensions: int) -> list[str]:
    return [_append(table, f"left(md5(id || '{day}'), 24)", day, dimensions) for table in tables if table == "memories"]


def _ordered_appends(day: int, tables: Sequence[str], dimensions: int) -> list[str]:
    key = "(SELECT max(id) FROM episodes) + row_number() OVER (ORDER BY id)"
    return [_append(table, key, day, dimensions) for table in tables if table == "episodes"]


def _clean_up(day: int, tables: Sequence[str], _dimensions: int) -> list[str]:
    return [f"DELETE FROM {table} WHERE {_share(day, 'clean', 10)}" for table in tables]


def _re_embedding(day: int, tables: Sequence[str], dimensions: int) -> list[str]:
    weights = _vector(day, dimensions, 1.0)
    return [f"UPDATE {table} SET embedding = l2_normalize(embedding * '{weights}'::vector)" for table in tables]


CHANGES: Mapping[str, Change] = {
    "decay": _decay,
    "counters": _counters,
    "edits": _edits,
    "random appends": _random_appends,
    "ordered appends": _ordered_appends,
    "clean-up": _clean_up,
    "re-embedding": _re_embedding,
}
"""By name: the day, the tables and their dimensions to statements. Appends go to the table with that kind of key."""


def _anew(day: int, dimensions: int) -> str:
    noise = _vector(day, dimensions, 0.0)
    text = f"content = 'Day {day}: ' || reverse(content)"
    return f"{text}, embedding = l2_normalize(embedding + '{noise}'::vector)"


def _append(table: str, key: str, day: int, dimensions: int) -> str:
    """Two in a hundred, so that both kinds of keys together are one in a hundred of all rows."""
    return f"""
        INSERT INTO {table}
        SELECT {key}, module, name, content || ' Again on day {day}.', 1, importance, 0, created_at, accessed_at,
               l2_normalize(embedding + '{_vector(day, dimensions, 0.0)}'::vector)
        FROM {table} WHERE {_share(day, "append", 50)}
    """


def _share(day: int, what: str, one_in: int) -> str:
    """A condition that one row in so many meets, others every day."""
    return f"abs(hashtext(id || '{what} {day}')::bigint) % {one_in} = 0"


def _vector(day: int, dimensions: int, middle: float) -> str:
    noise = random.Random(day)
    return f"[{','.join(f'{middle + noise.gauss(0, 0.02):.6f}' for _ in range(dimensions))}]"
