"""Live sources from what a person writes: a URL, a `key=value` string, or a name in snap.toml.

    [named] = named_sources(app, "postgresql://me@db/agents")
    named.name, open_named(app, named)

A URL is shown only as its source shows it: without a password.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from snap_cli.context import App
from snap_cli.render import clean
from snap_cli.settings import NamedSource
from snap_cli.words import nearest
from snapstore.errors import Conflict, Invalid, NotFound
from snapstore.operations.selected import selection_of
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.sources import Selection, Source
from snapstore.sources.opening import URLS, name_of, source, url_of_path

__all__ = [
    "NAMING", "chosen_sources", "live_source", "live_sources", "named_sources", "one_source", "open_named",
    "open_source", "qualified", "qualified_column", "selection_of_named", "url_of",
]  # fmt: skip

NAMING = (
    "Name one, or put it in snap.toml for every command: [sources.agents] and beneath it "
    f'url = "postgresql://me@localhost/agents". {URLS}'
)
"""What to do where no source is known."""


def open_source(app: App, url: str) -> Source:
    """The source under a URL. Raises `Invalid`, or `Unsupported` for an engine that is not installed."""
    return source(url, key=app.qdrant_key)


def named_sources(app: App, text: str) -> list[NamedSource]:
    """The sources that this text means: one under a URL, named for its database, a folder, named for itself, one of
    snap.toml, or a group there.
    """
    found = app.settings.named(text)
    text = text if found else url_of_path(text)
    if "://" in text or "=" in text:
        return [NamedSource(name_of(open_source(app, text).url), text)]
    if not found:
        known = [*app.settings.sources, *app.settings.groups]
        hint = f"Did you mean ./{text}, which is here?" if Path(text).exists() else f"{URLS} {nearest(text, known)}"
        raise Invalid(f"{text!r} is neither a URL nor a name in snap.toml", hint=hint.strip())
    return found


def one_source(app: App, text: str) -> NamedSource:
    """As `named_sources`, where only one will do."""
    found = named_sources(app, text)
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise Invalid(f"{text!r} is a group of several sources", hint=f"Name one of them: {names}.")
    return found[0]


def chosen_sources(app: App, texts: Sequence[str]) -> list[NamedSource]:
    """The sources that are named, else SNAP_SOURCE, else every source in snap.toml. Raises `Invalid` for none."""
    found: list[NamedSource] = []
    for text in texts or ([app.default_source] if app.default_source else []):
        for one in named_sources(app, text):
            if not any(one is other for other in found):  # a source and a group it is in
                found.append(one)
    found = found or list(app.settings.sources.values())
    if not found:
        raise Invalid("no source is named", hint=NAMING)
    return found


def selection_of_named(named: NamedSource, schema: str) -> Selection:
    """What snap.toml says is meant of a source, with tables named in full."""
    base = named.selection
    return replace(
        base,
        where={qualified(table, schema): condition for table, condition in base.where.items()},
        columns={qualified(table, schema): names for table, names in base.columns.items()},
        exclude_columns=tuple(qualified_column(one, schema) for one in base.exclude_columns),
    )


def url_of(app: App, named: NamedSource) -> str:
    """The URL that opens it; a URL of the command line or the environment stays as it is."""
    return app.url_of(named) if app.settings.sources.get(named.name) is named else named.url


def open_named(app: App, named: NamedSource) -> Source:
    """The source of this name."""
    return open_source(app, url_of(app, named))


def qualified(table: str, schema: str) -> str:
    """A table's name with its schema, this one if none is written."""
    return table if "." in table else f"{schema}.{table}"


def qualified_column(column: str, schema: str) -> str:
    """As `qualified`, of `table.column`."""
    return column if column.count(".") != 1 else f"{schema}.{column}"


def live_source(app: App, held: SnapshotSource, text: str | None, *, trusted: bool) -> Source:
    """The live source that belongs to a snapshot's: the one named, the one of its name in snap.toml, or the one it was
    taken from. Which one it is, is said.

    Raises `Conflict` where only the snapshot names it and is not `trusted`: whoever wrote it there would get what the
    user's password opens, or the password.
    """
    if text:
        source, why = open_named(app, one_source(app, text)), ""
    elif held.name in app.settings.sources:
        source, why = open_named(app, app.settings.sources[held.name]), f" (snap.toml: {held.name})"
    elif held.url.startswith("export:"):
        raise Invalid(
            f"the snapshot has {held.name} from an export ({held.url.partition(':')[2]}), and no live source with it",
            hint="Name the live one with --to URL.",
        )
    elif not trusted:
        raise Conflict(
            f"the snapshot says it was taken from {clean(held.url)}, and others can write to this repository",
            hint="Nothing was connected to. Name the live source with --to (or SNAP_SOURCE, or snap.toml), or --trust.",
        )
    else:
        source, why = open_source(app, held.url), " (as recorded)"
    app.say(f"live: {source.url}{why}")  # short, so that it is one line of a terminal
    return source


def live_sources(
    app: App, repository: Repository, snapshot: Snapshot, *, source: str | None = None, to: str | None = None
) -> list[tuple[SnapshotSource, Source]]:
    """The snapshot's sources, each with the live one to compare or to restore.

    `source` picks one of the snapshot's by name, else it means what `to` does: the live one. SNAP_SOURCE stands for
    `to`; but of several sources, and of one that was restored, only for the one it leads to. Which are left out is
    said. Raises `Invalid` where one live source is named for several in the snapshot, or SNAP_SOURCE leads to another.
    """
    picked = [own for own in snapshot.sources if own.name == source] if source else []
    if source and not picked:
        if to:
            names = ", ".join(own.name for own in snapshot.sources)
            raise NotFound(f"the snapshot {snapshot.id[:8]} has no source {source!r}", hint=f"It has: {names}.")
        to = source
    chosen = picked or list(snapshot.sources)
    text, names = to or app.default_source, ", ".join(own.name for own in chosen)
    meant = chosen
    if to and len(chosen) > 1:
        meant = [own for own in chosen if own.name == to]
        if not meant:
            raise Invalid(
                f"the snapshot {snapshot.id[:8]} has several sources", hint=f"Pick one with --source: {names}."
            )
    elif text and not to and (len(snapshot.sources) > 1 or snapshot.safety is not None):
        meant = [own for own in chosen if _leads_to(app, text, own)]
        if not meant:
            raise Invalid(
                f"SNAP_SOURCE is not where the snapshot {snapshot.id[:8]} has {names} from",
                hint="Name the live source with --to (of several, pick one with --source), or unset SNAP_SOURCE.",
            )
    left_out = ", ".join(own.name for own in chosen if own not in meant)
    if left_out:
        app.warn(f"left out: {left_out} ({'--to' if to else 'SNAP_SOURCE'} is {meant[0].name})")
    trusted = app.trusts(repository)
    check_conditions(meant, trusted=trusted)
    return [(held, live_source(app, held, text, trusted=trusted)) for held in meant]


def check_conditions(sources: Sequence[SnapshotSource], *, trusted: bool) -> None:
    """Raises `Conflict` for a snapshot of the rows that met a condition, where it is not trusted: to compare it, the
    live database is asked which rows meet it, and a condition is SQL.
    """
    found = {table.name: table.where for held in sources for table in held.tables if table.where}
    for held in sources:
        found |= selection_of(held.selection).where
    for name, condition in () if trusted else found.items():
        raise Conflict(
            f"the snapshot holds the rows of {clean(name)} where {clean(condition)}, and others can write to this "
            "repository",
            hint="Nothing was run. Where that condition is yours, go on with --trust.",
        )


def _leads_to(app: App, text: str, held: SnapshotSource) -> bool:
    """Whether this name or URL is the snapshot's source: its name, or its place, as recorded or in snap.toml."""
    if text == held.name:
        return True
    known = app.settings.sources.get(held.name)
    places = {held.url} if known is None else {held.url, open_named(app, known).url}
    return open_named(app, one_source(app, text)).url in places
