"""What `snap.toml` says: where the repository is, sources by name and in groups, and how long snapshots are kept.

    repository = "backups/memory"

    [sources.agents]
    url = "postgresql://me@db/agents"
    exclude = ["public.log_*"]

A relative repository is relative to the file. The nearest file is used: in this folder, else in one above. An unknown
word in it is an error, never passed over (docs/configuration.md has them all).
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from snap_cli.sizes import size_of
from snap_cli.wished import Hooks, Notices, hooks_of, notices_of
from snap_cli.words import Document, Words, nearest
from snapstore.errors import Invalid
from snapstore.operations.links import Link, parse_end
from snapstore.operations.retention import Policy, parse_duration
from snapstore.sources import Selection
from snapstore.sources.roles import Roles

__all__ = [
    "FILE", "RETENTION_WORDS", "ROLE_WORDS", "SOURCE_WORDS", "SYNC_WORDS", "TOP_WORDS", "NamedSource", "Room",
    "Settings", "Sync", "read_settings",
]  # fmt: skip

FILE = "snap.toml"

TOP_WORDS = (
    "repository", "passphrase-file", "passphrase-command", "sources", "groups", "links", "retention", "hooks",
    "notices", "sync",
)  # fmt: skip
SOURCE_WORDS = (
    "url", "password-command", "tables", "exclude", "columns", "exclude-columns", "ignore-columns", "where", "vectors",
    "schema-only", "allow-partial", "only", "ignore", "attributes", "roles",
)  # fmt: skip
ROLE_WORDS = tuple(one.name.replace("_", "-") for one in fields(Roles))
_COUNTS = ("keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly")
SYNC_WORDS = ("to", "passphrase-file", "passphrase-command")
RETENTION_WORDS = (*_COUNTS, "keep-within", "keep-tag", "max-size", "min-free")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NamedSource:
    """A source with a name: its URL as written, which may hold a password or `${NAME}`, and what of it is meant.

    `ignored` are the columns (`table.column`) that are kept and never compared. `password_command` prints the password.
    """

    name: str
    url: str
    selection: Selection = field(default_factory=Selection)
    ignored: tuple[str, ...] = ()
    roles: Roles = field(default_factory=Roles)
    password_command: str | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """How much a repository may take, and how much of its disk shall be free; None where nobody says."""

    max_bytes: int | None = None
    min_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Sync:
    """The other repository that snapshots are copied to, and where its passphrase is, if it is encrypted."""

    to: str
    passphrase_file: str | None = None
    passphrase_command: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the nearest file; empty without one."""

    path: Path | None = None
    repository: str | None = None
    passphrase_file: str | None = None
    passphrase_command: str | None = None
    sources: Mapping[str, NamedSource] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    retention: Policy | None = None
    room: Room = field(default_factory=Room)
    hooks: Hooks = field(default_factory=Hooks)
    notices: Notices = field(default_factory=Notices)
    sync: Sync | None = None
    document: Document | None = None

    @property
    def acts(self) -> bool:
        """Whether programs may be run, data sent or files written because of it."""
        return (
            self.passphrase_command is not None
            or any(one.password_command for one in self.sources.values())
            or self.sync is not None
            or not (self.hooks.is_empty and self.notices.is_empty)
        )

    def named(self, name: str) -> list[NamedSource]:
        """The source of this name, or those of the group of this name; none if there is neither."""
        if name in self.sources:
            return [self.sources[name]]
        return [self.sources[one] for one in self.groups.get(name, ())]


def read_settings(folder: Path) -> Settings:
    """The settings that hold in this folder. Raises `Invalid` naming file, line and word."""
    for place in (folder, *folder.parents):
        path = place / FILE
        if path.is_file():
            _check_author(path, folder)
            settings = _settings(Words.read(path))
            if settings.acts:
                _check_owner(path)
            return settings
    return Settings()


def _check_author(path: Path, folder: Path) -> None:
    """Raise `Invalid` for a file of somebody else in a folder above: in /tmp anybody may leave one, and whoever writes
    it says which repository the memory goes to.
    """
    if sys.platform == "win32":  # where a file does not tell whose it is
        is_own = path.parent == folder or path.is_relative_to(Path.home())
    else:
        is_own = path.stat().st_uid in (os.getuid(), 0, folder.stat().st_uid)
    if not is_own:
        raise Invalid(
            f"{path} belongs to somebody else, who would say where the memory goes",
            hint="Move it away, or make a snap.toml of your own in this folder.",
        )


def _check_owner(path: Path) -> None:
    """Raise `Invalid` for a file that acts, and that somebody else may have written: it would act as us."""
    if not hasattr(os, "geteuid"):
        return
    facts = path.stat()
    if facts.st_uid not in (os.geteuid(), 0) or facts.st_mode & stat.S_IWOTH:
        raise Invalid(
            f"{path} runs, sends or copies something, and others than you could have written them; nothing was done",
            hint="Make the file yours, and writable by you alone: chown, chmod go-w.",
        )


def _settings(words: Words) -> Settings:
    words.known(*TOP_WORDS)
    folder = words.document.path.parent
    if words.has("passphrase-file") and words.has("passphrase-command"):
        raise words.wrong("passphrase-command", "names a second place for the passphrase", "Leave one of them out.")
    sources = {name: _source(name, own) for name, own in words.table("sources").each()}
    return Settings(
        words.document.path,
        _from(folder, words.text("repository")),
        _from(folder, words.text("passphrase-file")),
        words.text("passphrase-command"),
        sources,
        _groups(words.table("groups"), tuple(sources)),
        tuple(_link(own, tuple(sources)) for own in words.array("links")),
        _policy(words.table("retention")) if words.has("retention") else None,
        _room(words.table("retention")),
        hooks_of(words.table("hooks")),
        notices_of(words.table("notices")),
        _sync(words.table("sync")) if words.has("sync") else None,
        words.document,
    )


def _sync(words: Words) -> Sync:
    words.known(*SYNC_WORDS)
    folder = words.document.path.parent
    to = _from(folder, words.text("to"))
    if to is None:
        raise words.wrong(None, "names no repository", 'Add `to = "s3://bucket/memory"`.')
    if words.has("passphrase-file") and words.has("passphrase-command"):
        raise words.wrong("passphrase-command", "names a second place for the passphrase", "Leave one of them out.")
    return Sync(to, _from(folder, words.text("passphrase-file")), words.text("passphrase-command"))


def _from(folder: Path, place: str | None) -> str | None:
    """A place that is relative to the file, unless it is a URL or may become one."""
    if place is None or "://" in place or place.startswith("${"):
        return place
    return str(folder / Path(place).expanduser())


def _source(name: str, words: Words) -> NamedSource:
    words.known(*SOURCE_WORDS)
    if ":" in name or not name.strip() or not name.isprintable():
        raise words.wrong(None, "cannot be the name of a source", "Choose one without `:`.")
    url = words.text("url")
    if not url:
        raise words.wrong(None, "has no url", f'Add `url = "postgresql://…"` under [sources.{name}].')
    where, columns = words.table("where"), words.table("columns")
    conditions = {table: where.text(table) or "" for table in where.given}
    selection = Selection(
        tables=words.texts("tables"),
        exclude=words.texts("exclude"),
        columns={table: columns.texts(table) for table in columns.given},
        exclude_columns=_columns(words, "exclude-columns"),
        where=conditions,
        vectors=words.flag("vectors", default=True),
        rows=not words.flag("schema-only", default=False),
        partial=words.flag("allow-partial", default=False),
        only=words.texts("only"),
        ignore=words.texts("ignore"),
        attributes=words.flag("attributes", default=False),
    )
    roles = words.table("roles")
    roles.known(*ROLE_WORDS)
    given = {one.replace("-", "_"): roles.text(one) or "" for one in ROLE_WORDS}
    if any(given.values()) and not given["memory"]:
        raise roles.wrong(None, "has no memory", 'Say which table the memories are in: `memory = "memories"`.')
    ignored = _columns(words, "ignore-columns")
    return NamedSource(name, url, selection, ignored, Roles(**given), words.text("password-command"))


def _columns(words: Words, name: str) -> tuple[str, ...]:
    found = words.texts(name)
    for one in found:
        if "." not in one.strip("."):
            raise words.wrong(name, f"has {one!r}, which is not TABLE.COLUMN", 'For example "memories.seen_count".')
    return found


def _groups(words: Words, sources: Sequence[str]) -> dict[str, tuple[str, ...]]:
    groups = {}
    for name in words.given:
        if name in sources:
            raise words.wrong(name, "is the name of a source too", "Choose another.", of_value=False)
        members = words.texts(name)
        if not members:
            raise words.wrong(name, "has no sources in it", "Name some, or leave the group out.")
        for one in members:
            if one not in sources:
                raise words.wrong(name, f"names the source {one!r}, which is not there", nearest(one, list(sources)))
            if members.count(one) > 1:
                raise words.wrong(name, f"names {one!r} twice")
        groups[name] = members
    return groups


def _link(words: Words, sources: Sequence[str]) -> Link:
    words.known("from", "to")
    ends = []
    for name in ("from", "to"):
        if not words.has(name):
            raise words.wrong(None, f"has no `{name}`", 'Write both: from = "graph:edges.source_id".')
        end = _parsed(words, name, parse_end)
        assert end is not None
        if end.source not in sources:
            raise words.wrong(
                name, f"names the source {end.source!r}, which is not there", nearest(end.source, sources)
            )
        ends.append(end)
    return Link(*ends)


def _policy(words: Words) -> Policy:
    words.known(*RETENTION_WORDS)
    within = _parsed(words, "keep-within", parse_duration)
    last, hourly, daily, weekly, monthly, yearly = (words.count(name) for name in _COUNTS)
    policy = Policy(last, hourly, daily, weekly, monthly, yearly, within, words.texts("keep-tag"))
    if policy.is_empty:
        raise words.wrong(None, "keeps nothing", "Say what to keep, as in `keep-daily = 7`, or leave the table out.")
    return policy


def _room(words: Words) -> Room:
    return Room(_parsed(words, "max-size", _size), _parsed(words, "min-free", _size))


def _size(text: str) -> int:
    return size_of(text, "a size")


def _parsed(words: Words, name: str, parse: Callable[[str], T]) -> T | None:
    text = words.text(name)
    try:
        return None if text is None else parse(text)
    except Invalid as error:
        raise words.wrong(name, f"cannot be understood: {error.message}", error.hint) from error
