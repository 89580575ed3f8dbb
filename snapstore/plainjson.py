"""JSON at speed: the one place that knows which library does it.

    dump({"id": 1, "embedding": numpy_array})     # b'{"id":1,"embedding":[0.1,0.2]}'
    load(b"[1, 2.5]")

Arrays of float32 are written as the shortest decimals that are the same numbers. NaN and infinities are not JSON.
"""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["dump", "load"]

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def dump(value: Any, *, indent: bool = False) -> bytes:
    """The value in UTF-8, on one line or indented by two. Raises `TypeError` for what JSON cannot hold."""
    return orjson.dumps(value, option=_OPTIONS | (orjson.OPT_INDENT_2 if indent else 0))


def load(data: bytes | str) -> Any:
    """The value of a document; whole numbers beyond 64 bits become floats. Raises `ValueError`."""
    return orjson.loads(data)
