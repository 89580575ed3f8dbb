"""The source under a URL, whatever its engine.

    with source("sqlite:///home/me/agents.db").view(Selection()) as view:
        ...
    name_of("postgresql://me@db/agents")          # 'agents'

What an engine needs comes with an extra, and is loaded only if one of its URLs is opened. A key for a server that the
URL does not hold is an argument: nothing here looks for one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePath
from urllib.parse import parse_qs, unquote, urlsplit

from snapstore.errors import Invalid, Unsupported
from snapstore.extras import Extra
from snapstore.sources import Source
from snapstore.sources.paths import in_url, is_path

__all__ = ["URLS", "is_sqlite", "name_of", "schema_of", "source", "url_of_path"]

_POSTGRES = ("postgresql", "postgres")
_SQLITE = "sqlite"
_QDRANT = ("qdrant", "qdrant+https", "qdrant+path")
_FILE = "file"
_MAGIC = b"SQLite format 3\0"

URLS = (
    "A source is postgresql://user@host/database, sqlite:///path/to/file.db, qdrant://host:6333/collection or "
    "file:///path/to/folder."
)


def source(url: str, *, key: str = "") -> Source:
    """The source under a URL or a `key=value` string of libpq; nothing is connected to yet.

    `key` is for a Qdrant whose URL has none. Raises `Invalid`, or `Unsupported` for an engine that is not installed.
    """
    scheme, mark, _ = url.partition("://")
    if mark and scheme == _SQLITE:
        with Extra("sqlite", "SQLite needs"):
            from snapstore.sources.sqlite.source import SqliteSource
        return SqliteSource(url)
    if mark and scheme in _QDRANT:
        with Extra("qdrant", "Qdrant needs"):
            from snapstore.sources.qdrant.source import QdrantSource
        return QdrantSource(url, key=key)
    if mark and scheme == _FILE:
        if sys.platform == "win32":
            raise Unsupported(
                "file trees are held on Linux and macOS only: Windows lacks the calls that keep to one folder",
                hint="Databases and collections can be held from there.",
            )
        with Extra("files", "file trees need"):
            from snapstore.sources.files.source import FilesSource
        return FilesSource(url)
    if mark and scheme not in _POSTGRES:
        raise Invalid(f"there are no sources under {scheme}://", hint=URLS)
    from snapstore.sources.postgres.source import PostgresSource  # the driver: see test_layers.py

    return PostgresSource(url)


def url_of_path(text: str) -> str:
    """The URL of a folder or a SQLite file that is written as a path: `.`, `..`, or what begins as only a path does;
    else the text.
    """
    if is_path(text):
        scheme = _SQLITE if is_sqlite(text) else _FILE
        return f"{scheme}://" + in_url(Path(os.path.abspath(text)))
    return text


def is_sqlite(path: str | os.PathLike[str]) -> bool:
    """Whether a file is there and begins as those of SQLite do; one that cannot be read is not."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def name_of(url: str) -> str:
    """The name of the database that a URL without a password leads to; else whatever tells it from others."""
    parts = urlsplit(url)
    if parts.scheme == _SQLITE:
        return PurePath(unquote(parts.path)).stem.replace(":", "_")
    if parts.scheme in _QDRANT:
        own = parse_qs(parts.query).get("collection", [""])[0] or unquote(parts.path.strip("/")).rpartition("/")[2]
        return (own or parts.hostname or "qdrant").replace(":", "_")
    if parts.scheme == _FILE:
        name = PurePath(unquote(parts.path, errors="replace")).name.replace(":", "_")
        return "".join(one if one.isprintable() else "_" for one in name) or "files"
    service = parse_qs(parts.query).get("service", [""])[0]
    return unquote(parts.path.lstrip("/")) or service or parts.username or parts.hostname or "postgresql"


def schema_of(url: str) -> str:
    """The schema that a table has if none is written."""
    scheme = url.partition("://")[0]
    if scheme in _QDRANT:
        return "qdrant"
    return {_SQLITE: "main", _FILE: "tree"}.get(scheme, "public")
