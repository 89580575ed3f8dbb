"""An export that a person reads: memories by group in Markdown, warm and cold, and a picture of what relates to what.

    with Archive(folder, roles, "1f2e3d4c", moment) as archive, archive.table(name, "memories", forms) as rows: ...

`index.md` leads to a file for each group. What a memory says is quoted, so that no text of it becomes structure.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from snapstore.operations.formats import Rows
from snapstore.plainjson import dump
from snapstore.sources.plain import SHOWN, Form
from snapstore.sources.roles import Roles

__all__ = ["Archive"]

_HOT, _COLD = 0.7, 0.3
_MOST_NODES, _MOST_EDGES = 40, 80
_MOST_KNOWN = 200_000
_LABEL = 40


def _warmth(heat: Any) -> str:
    """`hot` above 0.7, `cold` below 0.3, `normal` between; nothing where there is no number."""
    if isinstance(heat, bool) or not isinstance(heat, int | float):
        return ""
    return "hot" if heat > _HOT else "cold" if heat < _COLD else "normal"


class Archive:
    """The `Writer` of such an export."""

    def __init__(self, folder: Path, roles: Roles, label: str, at: datetime | None) -> None:
        self.sums: dict[str, str] = {}
        self._folder = folder
        self._roles = roles
        self._label = label
        self._at = at
        self._groups: dict[str, str] = {}
        self._warmths: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._labels: dict[str, str] = {}
        self._edges: Counter[tuple[str, str, str]] = Counter()
        self._degrees: Counter[str] = Counter()
        self._relationships = 0
        self._others: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open between batches."""

    @contextmanager
    def table(self, label: str, part: str, forms: Sequence[Form]) -> Iterator[Rows]:
        """As `Writer.table`."""
        names = [one.name for one in forms]
        if part == "memories":
            yield _Memories(self, names)
        elif part == "relationships":
            yield _Relationships(self, names)
        else:
            file = f"tables/{_slug(label)}.md"
            self._others.append((label, file))
            yield _Plain(self._folder / file, file, label, names)

    def memories(self, names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
        """Add memories to the files of their groups."""
        texts: defaultdict[str, list[str]] = defaultdict(list)
        for row in rows:
            memory = dict(zip(names, row, strict=True))
            group = _text(memory.get(self._roles.group)) or "(no group)"
            heat = _warmth(memory.get(self._roles.heat))
            self._warmths[group][heat] += 1
            name = _text(next(iter(memory.values()), ""))
            if len(self._labels) < _MOST_KNOWN:
                self._labels[name] = _text(memory.get(self._roles.content)) or name
            texts[group].append(_memory(name, memory, self._roles, heat))
        for group, told in texts.items():
            path = self._folder / self._file_of(group)
            is_new = not path.exists()
            path.parent.mkdir(exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write((f"# {_inline(group)}\n\n" if is_new else "") + "".join(told))

    def relationships(self, names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
        """Add relationships to their list, and to what the picture is drawn from."""
        told = []
        for row in rows:
            edge = dict(zip(names, row, strict=True))
            start, end = (
                _text(edge.pop(name, "")) for name in (self._roles.relationship_from, self._roles.relationship_to)
            )
            rest = ", ".join(
                f"{_inline(name)} {_inline(_text(value))}" for name, value in edge.items() if value is not None
            )
            told.append(f"- {_code(start)} → {_code(end)}" + (f" ({rest})" if rest else "") + "\n")
            self._relationships += 1
            if len(self._edges) < _MOST_KNOWN:
                kind = next((_text(edge[one]) for one in _KINDS if one in edge), "")
                self._edges[start, end, kind] += 1
                self._degrees.update((start, end))
        path = self._folder / "relationships.md"
        is_new = not path.exists()
        with path.open("a", encoding="utf-8") as file:
            file.write(("# Relationships\n\n" if is_new else "") + "".join(told))

    def finish(self, head: Mapping[str, Any]) -> None:
        """Write `index.md`."""
        when = f", {self._at:%Y-%m-%d %H:%M} UTC" if self._at else ""
        user = f", user {_inline(str(head['user_id']))}" if head["user_id"] else ""
        lines = [f"# Memory as of {_inline(self._label)}{when}{user}", ""]
        if self._groups:
            lines += ["| group | memories | hot | normal | cold |", "|---|---:|---:|---:|---:|"]
            for group in sorted(self._groups):
                found = self._warmths[group]
                numbers = " | ".join(f"{number:,}" for number in (found.total(), *(found[one] for one in _WARMTHS)))
                lines.append(f"| [{_inline(group)}]({self._groups[group]}) | {numbers} |")
            lines += ["", f"Hot is a heat above {_HOT}, cold one below {_COLD}.", ""]
        if self._relationships:
            lines += ["## What relates to what", "", *self._picture(), ""]
            lines += [f"All {self._relationships:,} are in [relationships.md](relationships.md).", ""]
        if self._others:
            lines += ["## Other tables", "", *(f"- [{_inline(label)}]({file})" for label, file in self._others), ""]
        (self._folder / "index.md").write_text("\n".join(lines), encoding="utf-8")

    def _picture(self) -> Iterator[str]:
        """A Mermaid graph of the memories that most others relate to."""
        chosen = {name for name, _ in sorted(self._degrees.items(), key=lambda one: (-one[1], one[0]))[:_MOST_NODES]}
        within = sorted(edge for edge in self._edges if edge[0] in chosen and edge[1] in chosen)[:_MOST_EDGES]
        shown = sorted({name for edge in within for name in edge[:2]})
        yield f"{len(within):,} of {self._relationships:,} relationships, between the memories that have most of them."
        yield ""
        yield "```mermaid"
        yield "graph LR"
        for number, name in enumerate(shown):
            yield f'  n{number}["{_node(self._labels.get(name, name))}"]'
        place = {name: number for number, name in enumerate(shown)}
        for start, end, kind in within:
            arrow = f'-- "{_node(kind)}" -->' if kind else "-->"
            yield f"  n{place[start]} {arrow} n{place[end]}"
        yield "```"

    def _file_of(self, group: str) -> str:
        if group not in self._groups:
            self._groups[group] = f"groups/{len(self._groups) + 1:04}-{_slug(group)}.md"
        return self._groups[group]


_WARMTHS = ("hot", "normal", "cold")
_KINDS = ("kind", "type", "relation", "relationship_type", "relation_type", "label", "name")


class _Memories:
    file = "index.md"

    def __init__(self, archive: Archive, names: Sequence[str]) -> None:
        self._archive = archive
        self._names = names

    def add(self, columns: Sequence[Sequence[Any]], count: int) -> None:
        self._archive.memories(self._names, zip(*columns, strict=True))


class _Relationships:
    file = "relationships.md"

    def __init__(self, archive: Archive, names: Sequence[str]) -> None:
        self._archive = archive
        self._names = names

    def add(self, columns: Sequence[Sequence[Any]], count: int) -> None:
        self._archive.relationships(self._names, zip(*columns, strict=True))


class _Plain:
    def __init__(self, path: Path, file: str, label: str, names: Sequence[str]) -> None:
        self._path = path
        self.file = file
        path.parent.mkdir(exist_ok=True)
        head = " | ".join(map(_cell, names))
        path.write_text(f"# {_inline(label)}\n\n| {head} |\n|{'---|' * max(len(names), 1)}\n", encoding="utf-8")

    def add(self, columns: Sequence[Sequence[Any]], count: int) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(
                "| " + " | ".join(_cell(_text(value)) for value in row) + " |\n" for row in zip(*columns, strict=True)
            )


def _memory(name: str, memory: dict[str, Any], roles: Roles, heat: str) -> str:
    lines = [f"## {_inline(name)}" + (f" ({heat})" if heat else ""), ""]
    content = memory.get(roles.content)
    if content is not None:
        lines += [f"> {_quoted(line)}" for line in _text(content).splitlines() or [""]]
        lines.append("")
    lines += [
        f"- {_inline(column)}: {_code(_text(value))}"
        for column, value in memory.items()
        if column != roles.content and value is not None
    ]
    return "\n".join(lines) + "\n\n"


def _text(value: Any) -> str:
    """A value in one word or many; a vector by its dimensions."""
    if value is None:
        return ""
    if isinstance(value, np.ndarray):
        return f"{len(value):,} dimensions"
    if isinstance(value, dict) and SHOWN in value:
        return _text(value[SHOWN])
    if isinstance(value, str):
        return value
    return dump(value).decode()


def _inline(text: str) -> str:
    """Text within a line, none of which is markup."""
    plain = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", _printable(plain))


def _quoted(line: str) -> str:
    """A line of what a memory says, which may have Markdown in it but no HTML."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", _printable(line.expandtabs(4)))


def _printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(one if one.isprintable() else "�" for one in text)


def _code(text: str) -> str:
    """Text as code, in as many back-ticks as it needs."""
    plain = _printable(" ".join(text.split())) or " "
    ticks = "`" * (1 + max((len(one) for one in re.findall(r"`+", plain)), default=0))
    pad = " " if plain[0] == "`" or plain[-1] == "`" else ""
    return f"{ticks}{pad}{plain}{pad}{ticks}"


def _cell(text: str) -> str:
    return _inline(text) or " "


def _node(text: str) -> str:
    """A label that ends neither its quotes nor the graph."""
    plain = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    plain = plain if len(plain) <= _LABEL else plain[: _LABEL - 1] + "…"
    return re.sub(r'[&"<>#;`]', lambda found: f"#{ord(found[0])};", plain)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:60] or "table"
