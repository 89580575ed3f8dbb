"""What is told of a memory system that a source looks like, and the lines of snap.toml that would say so.

    for line in told(known, "agents", named):   # for `snap sources`
        app.out(line)
    settings(known, "agents")                   # for the file that `snap init` writes

It proposes; whoever writes the lines into snap.toml decides. How a system is known, `snapstore.sources.presets` says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from snap_cli.render import clean, paint
from snap_cli.settings import NamedSource
from snapstore.operations.state import means_column
from snapstore.sources.presets import KnownMemory

__all__ = ["known_json", "settings", "told", "toml_key", "toml_text"]


def toml_key(name: str) -> str:
    """A key of TOML."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_text(name)


def toml_text(value: str) -> str:
    """A text of TOML."""
    # JSON's texts are TOML's, but for one character that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def told(known: Sequence[KnownMemory], name: str, said: NamedSource) -> Iterator[str]:
    """For people: what the source looks like, and the lines for snap.toml, but for what is `said` there."""
    for one in known:
        tables = f": {clean(', '.join(one.tables))}" if one.tables else ""
        yield f"  {paint('looks like', 'cyan')} {one.preset.name}{tables}"
        if len(one.memories) > 1 and one.preset.roles:
            yield "    several tables have memories; say which one is meant under [sources.NAME.roles]"
        if one.preset.derived:
            yield f"    {one.preset.derived}"
        if one.preset.advice:
            yield f"    {one.preset.advice}"
    lines = settings(known, name, said)
    if lines:
        yield "  snap.toml may say so:"
        yield from (f"    {clean(line)}" for line in [f"[sources.{toml_key(name)}]", *lines])


def settings(known: Sequence[KnownMemory], name: str, said: NamedSource | None = None) -> list[str]:
    """Lines that may follow `url` in the table of this source in snap.toml: columns to ignore, then the roles.

    What is `said` there already is left out.
    """
    patterns = said.ignored if said else ()
    columns = [
        column
        for one in known
        for column in one.ignored
        if not any(means_column(pattern, *column.rsplit(".", 1)) for pattern in patterns)
    ]
    lines = [f"ignore-columns = [{', '.join(map(toml_text, columns))}]"] if columns else []
    roles = next((one.roles for one in known if one.roles.memory), None)
    if roles is not None and not (said and said.roles.memory):
        lines += ["", f"[sources.{toml_key(name)}.roles]"]
        words = [(field.name.replace("_", "-"), getattr(roles, field.name)) for field in fields(roles)]
        lines += [f"{word} = {toml_text(value)}" for word, value in words if value]
    return lines


def known_json(known: Sequence[KnownMemory]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "name": one.preset.name,
            "tables": list(one.tables),
            "roles": {field.name: value for field in fields(one.roles) if (value := getattr(one.roles, field.name))},
            "ignored": list(one.ignored),
            "derived": one.preset.derived or None,
            "advice": one.preset.advice or None,
        }
        for one in known
    ]
