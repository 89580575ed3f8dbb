"""Links of snap.toml for people: whether both ends of them are in a snapshot.

    checks = links_of(app, repository, snapshot)
    for line in tell_links(checks):
        app.warn(line)

It changes no exit code: a memory that is gone may be meant to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from snap_cli.context import App
from snap_cli.render import clean, count, plural
from snapstore.errors import SnapstoreError
from snapstore.operations.links import Link, LinkCheck, check_links
from snapstore.operations.state import of_snapshot
from snapstore.repository import Repository, Snapshot

__all__ = ["links_json", "links_of", "tell_elsewhere", "tell_links"]

_EXAMPLES = 3


def links_of(app: App, repository: Repository, snapshot: Snapshot) -> list[LinkCheck]:
    """The links that snap.toml declares, as this snapshot has them; none of a state before a restore.

    Where they cannot be read that is said, and no error: the snapshot is there.
    """
    if not app.settings.links or snapshot.safety is not None:
        return []
    try:
        return list(check_links(of_snapshot(repository, snapshot), app.settings.links))
    except SnapstoreError as error:
        app.warn(f"the links of {snapshot.id[:8]} cannot be checked: {clean(error.message)}")
        return []


def tell_links(checks: Sequence[LinkCheck]) -> Iterator[str]:
    """A line for each link that is not whole, or of which nothing is known."""
    for one in checks:
        name = f"{one.link.start} → {one.link.end}"
        if not one.is_checked:
            yield clean(f"{name}: not checked: {one.told}")
        elif one.missing:
            examples = ", ".join(one.examples) + (" …" if one.missing > len(one.examples) else "")
            told = f" ({one.told})" if one.told else ""
            missing = f"{count(one.missing)} of {plural(one.rows, 'row')} refer"
            yield clean(f"{name}: {missing} to what is not there{told}: {examples}")


def tell_elsewhere(found: Sequence[tuple[Link, Sequence[str]]]) -> Iterator[str]:
    """A line for each link by which chosen rows refer to another store, which a restore of this one does not bring."""
    for link, values in found:
        examples = ", ".join(values[:_EXAMPLES]) + (" …" if len(values) > _EXAMPLES else "")
        yield clean(f"they refer to {link.end}, which --source {link.end.source} restores: {examples}")


def links_json(checks: Sequence[LinkCheck]) -> list[dict[str, Any]]:
    """The same for programs, whole links too."""
    return [
        {
            "from": str(one.link.start),
            "to": str(one.link.end),
            "checked": one.is_checked,
            "rows": one.rows,
            "missing": one.missing,
            "examples": list(one.examples),
            "told": one.told,
        }
        for one in checks
    ]
