"""Names of tables as people choose them.

    fits("mem*", "public.memories")       # True

It knows no engine.
"""

from __future__ import annotations

import re

__all__ = ["fits"]


def fits(pattern: str, name: str) -> bool:
    """Whether a name (`schema.name`, or one without a schema) fits a pattern with `*` and `?`.

    A pattern without a dot means the part after the schema, whatever the schema.
    """
    whole = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    if "." not in pattern:
        name = re.sub(r'^("([^"]|"")*"|[^."]*)\.(?=.)', "", name)
    return re.fullmatch(whole, name, re.DOTALL) is not None
