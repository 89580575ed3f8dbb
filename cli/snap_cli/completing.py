"""What a shell is offered in place of names: snapshots of the repository here, and sources of snap.toml.

    click.argument("name", metavar="SNAP", shell_complete=snapshot_names)

A key was pressed, and nothing was asked for yet: whatever fails says nothing and offers nothing, no passphrase is asked
for, and no bucket is read over a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import wraps

import click
from click.shell_completion import CompletionItem

from snap_cli.context import App
from snap_cli.render import clean, moment
from snapstore.backends.places import backend_of, is_url
from snapstore.errors import SnapstoreError
from snapstore.operations.state import LIVE
from snapstore.repository import Repository, Snapshot

__all__ = ["live_or_snapshot_names", "snapshot_names", "source_names"]

Completing = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]


def _silently(find: Callable[[App], Iterator[tuple[str, str]]]) -> Completing:
    """What is found and begins as what is typed; what was found before something failed, too."""

    @wraps(find)
    def completed(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        offered: dict[str, str] = {}
        with suppress(Exception):  # the command itself will say it
            for name, told in find(context.ensure_object(App)):
                # A shell would split these, and a colon begins a table.
                if name.startswith(incomplete) and name.isprintable() and not set(name) & set(" :,'\"\\"):
                    offered.setdefault(name, told)
        return [CompletionItem(name, help=told) for name, told in offered.items()]

    return completed


def _snapshots(app: App) -> Iterator[tuple[str, str]]:
    if is_url(app.place):
        yield "latest", "the newest snapshot"
        return
    backend = backend_of(app.place)
    yield "latest", "the newest snapshot"
    try:
        there = Repository.open(backend).snapshots()
    except SnapstoreError:
        return  # encrypted, or damaged
    for snapshot in reversed(there):
        yield from ((tag, f"{snapshot.id[:8]}, {_told(snapshot)}") for tag in snapshot.tags)
    for snapshot in reversed(there):
        yield snapshot.id[:8], _told(snapshot)


def _told(snapshot: Snapshot) -> str:
    names = " ".join(source.name for source in snapshot.sources)
    safety = " (before a restore)" if snapshot.safety is not None else ""
    return f"{moment(snapshot.time)} {clean(names)}{safety}"


def _live_or_snapshots(app: App) -> Iterator[tuple[str, str]]:
    for number, offered in enumerate(_snapshots(app)):
        yield offered
        if not number:  # there is a repository
            yield LIVE, "the rows that are there now"


def _sources(app: App) -> Iterator[tuple[str, str]]:
    yield from ((name, "a source of snap.toml") for name in app.settings.sources)
    yield from ((name, "a group of snap.toml") for name in app.settings.groups)


snapshot_names = _silently(_snapshots)
live_or_snapshot_names = _silently(_live_or_snapshots)
source_names = _silently(_sources)
