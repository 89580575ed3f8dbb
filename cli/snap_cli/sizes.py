"""Sizes as people write them: `500MB`, `1.5G`, `0`.

    size_of("500MB", "--min-free")        # 500_000_000

Units are decimal, as those that are printed; `MiB` and its like are powers of two.
"""

from __future__ import annotations

import re
from typing import Any

import click

from snapstore.errors import Invalid

__all__ = ["SIZE", "size_of"]

_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE)


def size_of(text: str, where: str) -> int:
    """Bytes. Raises `Invalid` naming `where` it was written."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise Invalid(f"{where}: {text!r} is not a size", hint="Write 500MB, 1.5G, 64MiB or a number of bytes.")
    number, unit, binary = match.groups()
    power = " kmgt".index(unit.lower()) if unit else 0
    return int(float(number) * (1024 if binary else 1000) ** power)


class _Size(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return size_of(str(value), "")
        except Invalid as error:
            self.fail(f"{error.message.removeprefix(': ')}. {error.hint}", param, ctx)


SIZE = _Size()
