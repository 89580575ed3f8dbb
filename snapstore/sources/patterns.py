"""Names of tables as people choose them.

    fits("mem*", "public.memories")       # True

It knows no engine.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["fits"]


def fits(pattern: str, name: str) -> bool:
    """Whether a name (`schema.name`, or one without a schema) fits a pattern with `*` and `?`.

    A pattern without a dot means the part after the schema, whatever the schema. A name is a pattern too, and a name
    may be made of stars, so the time it takes grows with both lengths and no faster.
    """
    if "." not in pattern:
        name = re.sub(r'^("([^"]|"")*"|[^."]*)\.(?=.)', "", name)
    if "*" not in pattern and "?" not in pattern:
        return pattern == name
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """What stands between two stars is looked for once, at the first place it fits (an atomic group): no other place
    gives what follows more room. Tried again at every other place, thirty stars would take years.
    """
    first, *rest = [
        "".join("." if character == "?" else re.escape(character) for character in piece)
        for piece in re.split(r"\*+", pattern)
    ]
    if not rest:
        return re.compile(first, re.DOTALL)
    *between, last = rest
    whole = "".join([first, *(f"(?>.*?{piece})" for piece in between), ".*", last])
    return re.compile(whole, re.DOTALL)
