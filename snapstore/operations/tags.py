"""Names of snapshots: given, and taken away.

    tag(repository, snapshot.id, ["before-migration"])

A tag that several snapshots have means the newest of them (`snapstore.repository.resolve`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from snapstore.errors import Invalid, NotFound
from snapstore.repository import Repository, Snapshot

__all__ = ["check_tags", "tag", "untag"]


def check_tags(tags: Sequence[str]) -> None:
    """Raises `Invalid` for a tag that could not be told from another name of a snapshot."""
    for tag in tags:
        if not tag or tag in ("latest", "live") or any(char in tag for char in ":~@/ ") or not tag.isprintable():
            raise Invalid(f"{tag!r} cannot be a tag", hint="A tag is a word without blanks or any of `: ~ @ /`.")


def tag(repository: Repository, snapshot_id: str, tags: Sequence[str]) -> Snapshot:
    """Give a snapshot (a whole id) these as well; gives it as it is now. Raises `Invalid` for what cannot be a tag."""
    check_tags(tags)

    def tagged(own: Snapshot) -> Snapshot:
        return dataclasses.replace(own, tags=tuple(dict.fromkeys((*own.tags, *tags))))

    return repository.change(snapshot_id, tagged)


def untag(repository: Repository, snapshot_id: str, tags: Sequence[str]) -> Snapshot:
    """Take these away, all of them or none; gives it as it is now. Raises `NotFound` for one that it does not have."""

    def untagged(own: Snapshot) -> Snapshot:
        for one in tags:
            if one not in own.tags:
                shown = ", ".join(own.tags) or "none"
                raise NotFound(f"the snapshot has no tag {one!r}; nothing was changed", hint=f"It has: {shown}.")
        return dataclasses.replace(own, tags=tuple(one for one in own.tags if one not in tags))

    return repository.change(snapshot_id, untagged)
