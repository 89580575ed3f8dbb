"""`snap config`: what holds here, and where it comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from snap_cli.context import App, command, group
from snap_cli.expanding import masked
from snap_cli.positions import Path as KeyPath
from snap_cli.render import clean, columns
from snap_cli.settings import FILE
from snap_cli.wished import HOOKS
from snap_cli.words import Document, dotted

__all__ = ["config_command"]

_DEFAULTS = {"vectors": True, "schema-only": False, "allow-partial": False}


@dataclass(frozen=True, slots=True)
class _Value:
    """One value under the name it has in snap.toml. `origin` is an option, a variable, `default`, or a place in a file.

    `instead` is the place in the file that does not count, since something that goes before it was given.
    """

    name: str
    value: Any
    origin: str
    line: int | None = None
    instead: str | None = None


config_command = group(
    "config",
    "What holds here: options, the environment, snap.toml and defaults, in this order.",
    example="snap config show\nsnap config show --json",
)


@command("show", example="snap config show\nsnap config show --json")
@click.pass_obj
def show_command(app: App) -> None:
    """Show every value, and where it comes from: an option, a variable, a line of snap.toml, or a default.

    Nothing is opened. Passwords are never shown; of commands that print one, only the program.
    """
    path = app.settings.path
    values = list(_values(app))
    if app.json:
        shape = [
            {"name": one.name, "value": one.value, "from": one.origin, "line": one.line, "instead_of": one.instead}
            for one in values
        ]
        app.document({"file": None if path is None else str(path), "values": shape})
        return
    app.say(f"{FILE}: {path}" if path else f"there is no {FILE} in this folder or above")
    rows = [["name", "value", "from"]]
    for one in values:
        instead = f" (not {one.instead})" if one.instead else ""
        rows.append([clean(one.name), clean(_text(one.value)), one.origin + instead])
    app.out(columns(rows, indent=0, widest=60))


config_command.add_command(show_command)


_ELSEWHERE = ("repository", "passphrase-file", "passphrase-command")


def _values(app: App) -> Iterator[_Value]:
    document, settings = app.settings.document, app.settings
    # As it is written: what a variable holds is shown nowhere.
    _, origin = app.place_from
    place = settings.repository if origin == FILE else app.place_from[0]
    yield _in_force(document, "repository", masked(place or ""), origin)
    origin, place = app.passphrase_from
    is_command = "command" in origin.lower() or (origin == FILE and settings.passphrase_file is None)
    name = "passphrase-command" if is_command else "passphrase-file"
    yield _in_force(document, name, None if place is None else _shown((name,), place), origin)
    yield _Value("source", masked(app.default_source or "") or None, "SNAP_SOURCE" if app.default_source else "default")
    if document is None:
        yield _Value("retention", None, "default")
        return
    for path, leaf in _leaves(document.values):
        if str(path[0]).replace("_", "-") not in _ELSEWHERE:
            line = document.position(path).line
            yield _Value(dotted(path), _shown(path, leaf), f"{FILE}:{line}", line)
    for name, own in document.values.get("sources", {}).items():
        for word, default in _DEFAULTS.items():
            if word not in own and word.replace("-", "_") not in own:
                yield _Value(dotted(("sources", name, word)), default, "default")
    if settings.retention is None:
        yield _Value("retention", None, "default")


def _in_force(document: Document | None, name: str, value: Any, origin: str) -> _Value:
    """The value that holds, with its line, or with the place in the file that it goes before."""
    spelled = next((one for one in (name, name.replace("-", "_")) if document and one in document.values), None)
    line = document.position((spelled,)).line if document and spelled else None
    if origin == FILE:
        return _Value(name, value, f"{FILE}:{line}", line)
    return _Value(name, value, origin, instead=f"{FILE}:{line}" if line else None)


def _leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict) and value:
        for word, own in value.items():
            yield from _leaves(own, (*path, word))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for at, own in enumerate(value):
            yield from _leaves(own, (*path, at))
    else:
        yield path, value


def _shown(path: KeyPath, value: Any) -> Any:
    """The value without what nobody should read over a shoulder."""
    name = str(path[-1]).replace("_", "-")
    if path[0] == "notices" and name in ("webhook", "health-check") and isinstance(value, str):
        return value if re.fullmatch(r"\$\{\w+\}", value) else "…"
    if (name.endswith("-command") or (path[0] == "hooks" and name in HOOKS)) and isinstance(value, str):
        program, *words = value.split(None, 1)
        return f"{program} …" if words else program
    return masked(value) if isinstance(value, str) else value


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
