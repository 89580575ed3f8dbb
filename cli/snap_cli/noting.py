"""A small document in a folder of this user, that a reader finds whole: as it was before, or as it is now.

    write_note(folder / "last.json", {"exit_code": 0})

What is in it is the caller's business, and so is reading it: a note that cannot be read is no note.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snapstore.errors import Unavailable
from snapstore.filesystem import patiently

__all__ = ["write_note"]


def write_note(path: Path, document: Mapping[str, Any]) -> None:
    """Write the document as JSON, its folder too where there is none. Raises `Unavailable`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(document), encoding="utf-8")
        patiently(lambda: os.replace(beside, path))
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror or error}") from error
