"""Whether a file is as it was: size, mtime, ctime and inode, as far as they can be trusted (DESIGN: take).

    stamp = stamp_of(entry, before_ns=now_ns - 2 * 10**9)     # None: too recent, it is read again
    whole = whole_of(entries, stamps)                         # one digest over all, b"" if one is not to be trusted

Times lie to whoever looks too soon: a second write within one tick of the clock leaves them as they are, and some file
systems tick every two seconds. So what was written just before a look has no stamp. ctime is what nobody can set; what
moves with a folder keeps it, so a stamp counts only for the path that it stands beside.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from snapstore.digest import Hasher
from snapstore.sources.files.entry import FOLDER, Entry

__all__ = ["stamp_of", "whole_of"]

_FACTS = struct.Struct(">QQQQ")
_SIGNED = (1 << 64) - 1  # times before 1970 are negative


def stamp_of(entry: Entry, *, before_ns: int) -> bytes | None:
    """What stands beside a row of this entry (format.md §10); None if it changed after `before_ns`."""
    if entry.kind == FOLDER:
        return struct.pack(">H", entry.mode)
    facts = (entry.facts, *(entry.logs or ()))
    if any(max(one[1], one[2]) > before_ns for one in facts):
        return None
    packed = b"".join(_FACTS.pack(*(number & _SIGNED for number in one)) for one in facts)
    return packed + Hasher(entry.same_as).digest(length=16) if entry.same_as else packed


def whole_of(entries: Sequence[Entry], stamps: Sequence[bytes | None]) -> bytes:
    """All paths and stamps in 16 bytes; none if some stamp is missing."""
    if any(stamp is None for stamp in stamps):
        return b""
    pieces = (
        b"%d %d %s%s%s" % (len(entry.path), len(stamp or b""), entry.kind, entry.path, stamp)
        for entry, stamp in zip(entries, stamps, strict=True)
    )
    return Hasher(b"".join(pieces)).digest(length=16)
