r"""How a path is written on a command line and stands in a URL, on POSIX and on Windows.

    in_url(PureWindowsPath("C:/Users/me/agent.db"))      # "/C:/Users/me/agent.db"
    of_url(r"C:\Users\me\agent.db", windows=True)         # "C:/Users/me/agent.db", as of "/C:/Users/me/agent.db"
    is_path(r".\agent.db", windows=True)                  # True

In a URL a path of Windows has slashes, and one before its drive. Backslashes are taken there too, since people write
them. This module looks at no file.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import PurePath, PureWindowsPath
from urllib.parse import quote, unquote

__all__ = ["in_url", "is_path", "of_url"]

_ON_WINDOWS = sys.platform == "win32"
_DRIVE = re.compile(r"/*(?=[A-Za-z]:/(?!/))")


def is_path(text: str, *, windows: bool = _ON_WINDOWS) -> bool:
    """Whether this can only be a path: `.`, `./…`, `/…`, on Windows `C:…` and all that with backslashes too."""
    plain = text.replace("\\", "/") if windows else text
    return plain in (".", "..") or plain.startswith(("/", "./", "../")) or (windows and bool(_DRIVE.match(plain)))


def in_url(place: PurePath) -> str:
    """An absolute path as it stands in a URL; bytes that are no text are written %FF."""
    if isinstance(place, PureWindowsPath):
        return quote(os.fsencode(("/" if place.drive[1:] == ":" else "") + place.as_posix()), safe="/:")
    return quote(os.fsencode(place))


def of_url(path: str, *, windows: bool = _ON_WINDOWS) -> str:
    """The path that stands in a URL. Some write four slashes before an absolute one."""
    text = unquote(path, errors="surrogateescape")
    if not windows:
        return re.sub("^/+", "/", text)
    text = text.replace("\\", "/")
    return _DRIVE.sub("", text, count=1) if _DRIVE.match(text) else text
