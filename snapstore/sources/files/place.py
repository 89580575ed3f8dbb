"""The folder that a URL means, and the URL of a folder.

    place_of("file:///home/me/memory")            # Path("/home/me/memory")

Bytes of a path that are no text are written %FF and come back as they were.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from snapstore.errors import Invalid

__all__ = ["place_of", "url_of"]

_SCHEME = "file://"


def place_of(url: str) -> Path:
    """The folder that a URL means: `file:///absolute/path`, or `file://./relative/path`. Raises `Invalid`."""
    rest = url.removeprefix(_SCHEME)
    path, mark, _ = rest.partition("?")
    path = re.sub("^localhost(?=/)", "", path)
    if rest == url or not path or path.partition("/")[0] not in ("", ".", ".."):
        raise Invalid(f"{url!r} names no folder", hint="Write file:///path/to/folder.")
    if mark:
        raise Invalid(f"{url!r} has parameters, and there are none", hint="A question mark in a path is written %3F.")
    text = unquote(path, errors="surrogateescape")
    if "\0" in text:
        raise Invalid(f"{url!r} names no folder", hint="Write file:///path/to/folder.")
    return Path(os.path.abspath(text))


def url_of(place: Path) -> str:
    """The URL of a folder."""
    return _SCHEME + quote(os.fsencode(place))
