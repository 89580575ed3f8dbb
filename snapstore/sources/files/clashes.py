"""Paths that are two here and one elsewhere: where capitals do not count, or a letter may be written in two ways.

clash([b"Notes.md", b"notes.md"])            # (b"Notes.md", b"notes.md")
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

__all__ = ["clash"]


def clash(paths: Iterable[bytes]) -> tuple[bytes, bytes] | None:
    """Two of these paths that a file system that folds case takes for one, if there are any."""
    seen: dict[str, bytes] = {}
    for path in paths:
        text = path.decode("utf-8", "surrogateescape")
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
        other = seen.setdefault(folded, path)
        if other != path:
            return other, path
    return None
