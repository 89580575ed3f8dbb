"""What `snap.toml` says: where the repository is, and sources by name.

    repository = "backups/memory"

    [sources.agents]
    url = "postgresql://me@db/agents"
    exclude = ["public.log_*"]

A relative repository is relative to the file. The nearest file is used: in this folder, else in one above. An unknown
word in it is an error, never passed over.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snapstore.errors import Invalid
from snapstore.sources import Selection

__all__ = ["FILE", "NamedSource", "Settings", "read_settings"]

FILE = "snap.toml"


@dataclass(frozen=True, slots=True)
class NamedSource:
    """A source with a name: its URL, which may hold a password, and what of it is meant."""

    name: str
    url: str
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the nearest file; empty without one."""

    path: Path | None = None
    repository: str | None = None
    sources: Mapping[str, NamedSource] = field(default_factory=dict)


def read_settings(folder: Path) -> Settings:
    """The settings that hold in this folder. Raises `Invalid` naming file and word."""
    for place in (folder, *folder.parents):
        path = place / FILE
        if path.is_file():
            _check_owner(path, folder)
            return _parse(path)
    return Settings()


def _check_owner(path: Path, folder: Path) -> None:
    """Raise `Invalid` for a file of somebody else in a folder above: in /tmp anybody may leave one, and whoever writes
    it says which repository the memory goes to.
    """
    if path.stat().st_uid not in (os.getuid(), 0, folder.stat().st_uid):
        raise Invalid(
            f"{path} belongs to somebody else, who would say where the memory goes",
            hint="Move it away, or make a snap.toml of your own in this folder.",
        )


def _parse(path: Path) -> Settings:
    try:
        words = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}", hint="It must be TOML; mend it, or move it away.") from error
    _known(path, "", words, {"repository", "sources"})
    repository = _typed(path, "repository", words.get("repository"), str)
    if repository is not None and "://" not in repository:
        repository = str(path.parent / Path(repository).expanduser())
    sources = _typed(path, "sources", words.get("sources", {}), dict)
    return Settings(path, repository, {name: _source(path, name, own) for name, own in (sources or {}).items()})


_LISTS = ("tables", "exclude", "exclude_columns")


def _source(path: Path, name: str, words: Any) -> NamedSource:
    where = f"sources.{name}"
    given: dict[str, Any] = _typed(path, where, words, dict) or {}
    _known(path, where + ".", given, {"url", "where", "vectors", "schema_only", "allow_partial", *_LISTS})
    url = _typed(path, f"{where}.url", given.get("url"), str)
    if not url:
        raise Invalid(f"{path}: {where} has no url", hint=f'Add `url = "postgresql://…"` under [{where}].')
    lists = {key: tuple(_texts(path, f"{where}.{key}", given.get(key, []))) for key in _LISTS}
    conditions: dict[str, Any] = _typed(path, f"{where}.where", given.get("where", {}), dict) or {}
    for table, condition in conditions.items():
        _typed(path, f"{where}.where.{table}", condition, str)
    flags = {
        key: bool(_typed(path, f"{where}.{key}", given.get(key, default), bool))
        for key, default in (("vectors", True), ("schema_only", False), ("allow_partial", False))
    }
    selection = Selection(
        tables=lists["tables"],
        exclude=lists["exclude"],
        exclude_columns=lists["exclude_columns"],
        where=conditions,
        vectors=flags["vectors"],
        rows=not flags["schema_only"],
        partial=flags["allow_partial"],
    )
    return NamedSource(name, url, selection)


def _known(path: Path, where: str, words: Mapping[str, Any], known: set[str]) -> None:
    for word in words:
        if word not in known:
            raise Invalid(f"{path}: {where}{word} means nothing", hint=f"Known here: {', '.join(sorted(known))}.")


def _texts(path: Path, where: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Invalid(f"{path}: {where} must be a list of texts")
    return value


def _typed(path: Path, where: str, value: Any, kind: type) -> Any:
    if value is not None and not isinstance(value, kind):
        names = {str: "a text", dict: "a table", bool: "true or false"}
        raise Invalid(f"{path}: {where} must be {names[kind]}")
    return value
