"""Names of tables as people choose them, and names in what people write.

    fits("mem*", "public.memories")             # True
    mentioned("heat > 0.5", ["body", "heat"])   # "heat"

It knows no engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["fits", "mentioned"]


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


def mentioned(condition: str, names: Iterable[str]) -> str:
    """The first of these names that stands in a condition as a word, whatever the word means there; else empty."""
    words = (rf"(?<!\w){re.escape(name)}(?!\w)" for name in names if name)
    found = (re.search(word, condition, re.IGNORECASE) for word in words)
    return next((one.group() for one in found if one is not None), "")


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
