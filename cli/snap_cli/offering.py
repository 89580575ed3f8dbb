"""What `snap init` finds in a folder, and the snap.toml it writes if a person wants that.

    offer(app)                  # asks about each, writes snap.toml here; False if nothing was written

Nothing is opened but the first bytes of files that look like databases, and what somebody has chosen: which memory
system it looks like is said, and goes into the file if that is wanted too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import click

from snap_cli.context import App
from snap_cli.render import clean
from snap_cli.settings import FILE
from snap_cli.sources import open_source
from snap_cli.suggesting import settings, toml_key, toml_text
from snapstore.errors import SnapstoreError
from snapstore.operations.probe import probe
from snapstore.sources import Selection
from snapstore.sources.opening import is_sqlite, name_of

__all__ = ["DEFAULT_RETENTION", "offer"]

DEFAULT_RETENTION = """\
# What `snap gc` keeps: the newest of so many days, weeks and months. What is pinned stays for ever.
[retention]
keep-daily = 7
keep-weekly = 4
keep-monthly = 12
"""

_MEMORIES = ("chroma.sqlite3", "memory.jsonl", "*.lance/_versions")
_SUFFIXES = (".db", ".sqlite", ".sqlite3", ".db3")


@dataclass(frozen=True, slots=True)
class _Found:
    """A source: its name, what is written for its URL, how it is shown and opened, and what is written beneath."""

    name: str
    url: str
    shown: str
    place: str
    lines: tuple[str, ...] = ()


def offer(app: App) -> bool:
    """Ask which of the sources that are there are meant, and write snap.toml in this folder, if none holds here yet."""
    folder = Path.cwd()
    if app.settings.path is not None:
        return False
    chosen: list[_Found] = []
    for found in _find(app, folder):
        if click.confirm(f"Take snapshots of {clean(found.shown)}?", default=True, err=True):
            chosen.append(_known(app, _renamed(found, [one.name for one in chosen])))
    if not click.confirm(f"Write {FILE} here?", default=True, err=True):
        return False
    text = "" if app.repo is None else f"repository = {toml_text(app.repo)}\n\n"
    for one in chosen:
        text += "\n".join([f"[sources.{toml_key(one.name)}]", f"url = {toml_text(one.url)}", *one.lines, "", ""])
    with (folder / FILE).open("x", encoding="utf-8") as file:
        file.write(text + DEFAULT_RETENTION)
    names = ", ".join(one.name for one in chosen) or "no sources yet"
    app.out(f"wrote {folder / FILE}: {clean(names)}; `snap gc` keeps 7 daily, 4 weekly, 12 monthly")
    return True


def _find(app: App, folder: Path) -> Iterator[_Found]:
    if app.database_url is not None:
        try:
            shown = open_source(app, app.database_url).url
        except SnapstoreError:  # another engine's, or in words of another library
            pass
        else:
            # The variable, not what it holds: that has a password.
            yield _Found(name_of(shown), "${DATABASE_URL}", f"{shown} (DATABASE_URL)", app.database_url)
    for place in sorted(folder.iterdir()):
        if place.suffix in _SUFFIXES and place.is_file() and is_sqlite(place):
            yield from _openable(app, place.stem, f"sqlite://{quote(str(place))}")
    for place in sorted(folder.iterdir()):
        if place.name == ".claude" or _is_memory(place):
            yield from _openable(app, place.name.removeprefix("."), f"file://{quote(str(place))}")


def _is_memory(place: Path) -> bool:
    """Whether it is a folder with what a memory system keeps at the top of its own."""
    return place.is_dir() and any(next(place.glob(pattern), None) is not None for pattern in _MEMORIES)


def _openable(app: App, name: str, url: str) -> Iterator[_Found]:
    """The source, unless its engine is not to be had here."""
    try:
        url = open_source(app, url).url
    except SnapstoreError:
        return
    yield _Found(name, url.replace("${", "$${"), url, url)


def _renamed(found: _Found, taken: list[str]) -> _Found:
    """With a name that is a source's, and no other's."""
    name = found.name.replace(":", "_")
    numbered = (f"{name}{number or ''}" for number in (0, *range(2, len(taken) + 3)))
    return replace(found, name=next(one for one in numbered if one not in taken))


def _known(app: App, found: _Found) -> _Found:
    """With what is known of the memory system that it looks like, if somebody wants that in the file."""
    try:
        known = probe(open_source(app, found.place), Selection()).known
    except SnapstoreError:  # it cannot be reached now; `snap sources` tells why, and the same as here once it can
        return found
    for one in known:
        app.say(f"it looks like {one.preset.name}{f'. {one.preset.advice}' if one.preset.advice else ''}")
    lines = settings(known, found.name)
    for line in filter(None, lines):
        app.say(f"  {clean(line)}")
    if not lines or not click.confirm("Write that too?", default=True, err=True):
        return found
    return replace(found, lines=tuple(lines))
