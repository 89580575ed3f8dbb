"""Names of snapshots: an id or its beginning, `latest`, `latest~2`, a tag, `@2026-01-31`.

    resolve(repository.snapshots(), "latest~1")

Pure: it picks from a list and reads nothing. `live` is not a snapshot; who accepts it looks for it first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from snapstore.errors import Invalid, NotFound
from snapstore.repository.snapshot import Snapshot

__all__ = ["parse_moment", "resolve", "resolve_all", "start_of"]

_LATEST = re.compile(r"(latest|@[^~]+|[^~@]+)(?:~(\d+))?")
_LEAST_DIGITS = 4


def resolve(snapshots: Sequence[Snapshot], name: str) -> Snapshot:
    """The snapshot meant among these, which are oldest first.

    A safety snapshot is never `latest`: it is the state before a restore, not one that anybody asked for; its id names
    it. Raises `NotFound`, or `Invalid` for an ambiguous beginning or a name that cannot be read.
    """
    match = _LATEST.fullmatch(name)
    if match is None:
        raise Invalid(f"{name!r} does not name a snapshot", hint=_HINT)
    base, back = match[1], int(match[2] or 0)
    taken = [snapshot for snapshot in snapshots if snapshot.safety is None]
    if base == "latest":
        candidates = taken
    elif base.startswith("@"):
        end = parse_moment(base[1:])
        candidates = [snapshot for snapshot in taken if snapshot.time < end]
    else:
        at = snapshots.index(_named(snapshots, base))
        candidates = [s for s in snapshots[: at + 1] if s.safety is None or s is snapshots[at]]
    if not snapshots:
        raise NotFound("the repository holds no snapshot yet", hint="Take one with `snap take URL`.")
    if len(candidates) <= back:
        raise NotFound(f"there is no snapshot {name!r}", hint="`snap list` shows those there are.")
    return candidates[-1 - back]


def resolve_all(snapshots: Sequence[Snapshot], names: Sequence[str]) -> list[Snapshot]:
    """The snapshots meant by these names, in this order, each once; raises as `resolve`."""
    return list({one.id: one for one in (resolve(snapshots, name) for name in names)}.values())


_HINT = "Use an id or its first digits, `latest`, `latest~2`, a tag, or `@2026-01-31`; `snap list` shows them."


def _named(snapshots: Sequence[Snapshot], name: str) -> Snapshot:
    tagged = [snapshot for snapshot in snapshots if name in snapshot.tags]
    if tagged:
        return tagged[-1]
    if re.fullmatch(r"[0-9a-f]{1,32}", name):
        found = [snapshot for snapshot in snapshots if snapshot.id.startswith(name)]
        # A copy goes by the id of what it is a copy of, too: nobody should have to look up a second one.
        found = found or [one for one in snapshots if one.origin and one.origin.snapshot.startswith(name)]
        if len(found) > 1:
            shown = ", ".join(snapshot.id[: len(name) + 4] for snapshot in found[:5])
            raise Invalid(f"{name!r} is the beginning of {len(found)} snapshots: {shown}", hint="Give more digits.")
        if found and len(name) < _LEAST_DIGITS:
            raise Invalid(f"{name!r} is too short for an id", hint=f"Give at least {_LEAST_DIGITS} digits.")
        if found:
            return found[0]
    raise NotFound(f"there is no snapshot {name!r}", hint=_HINT)


def start_of(text: str) -> datetime:
    """The beginning of the day, minute or second that the text names, in UTC unless it says otherwise.

    Raises `Invalid`.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not a date or time", hint="Write 2026-01-31 or 2026-01-31T14:30.") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def parse_moment(text: str) -> datetime:
    """The end of the day, minute or second that the text names. Raises `Invalid`."""
    moment = start_of(text)
    if len(text) <= len("2026-01-31"):
        return moment + timedelta(days=1)
    return moment + (timedelta(minutes=1) if text.count(":") == 1 and "+" not in text else timedelta(seconds=1))
