"""`snap find`: a text in all snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from snap_cli.cells import key_text
from snap_cli.completing import source_names
from snap_cli.context import App, command
from snap_cli.log import times
from snap_cli.manifests import snapshot_place
from snap_cli.render import clean, moment, paint, plural
from snapstore.errors import Invalid, NotFound
from snapstore.operations.chain import Chain, between, chains
from snapstore.operations.find import Found, find
from snapstore.operations.needle import Needle
from snapstore.operations.rowvalues import keys_of
from snapstore.operations.state import matches
from snapstore.rows import Cells
from snapstore.sources.display import texts
from snapstore.tree import Fetch
from snapstore.tree.values import resolve

__all__ = ["find_command"]

_AROUND = 40


@command("find", example='snap find "prefers tea"\nsnap find --regex "tea|coffee" --table memories --since 2026-01-31')
@click.argument("text")
@click.option("--source", metavar="NAME", shell_complete=source_names, help="Of several sources, this one.")
@click.option("--table", "tables", multiple=True, metavar="PATTERN", help="Only these tables.")
@click.option("--since", metavar="DATE", help="Only snapshots taken on this day or later.")
@click.option("--until", metavar="DATE", help="Only snapshots taken on this day or earlier.")
@click.option("--regex", is_flag=True, help="TEXT is a regular expression (Python's).")
@click.option("--ignore-case", "-i", is_flag=True, help="Upper and lower case are the same.")
@click.pass_obj
def find_command(
    app: App,
    text: str,
    source: str | None,
    tables: tuple[str, ...],
    since: str | None,
    until: str | None,
    regex: bool,
    ignore_case: bool,
) -> None:
    """Find a text in all snapshots: in columns of text and JSON, arrays of text, and keys, large values too.

    Each version of a cell that holds it is shown once, with the first and the last snapshot that has it. JSON is looked
    at as it is written down. Numbers, times and vectors are not looked at.
    """
    needle = Needle(text, regex=regex, ignore_case=ignore_case)
    repository = app.repository()
    there = between(repository.snapshots(), *times(since, until))
    if not there:
        raise NotFound("there are no snapshots to look at", hint="`snap list` shows those there are.")
    chosen = _chosen(chains(there), source, tables)
    with app.progress() as progress:
        found = list(find(repository, chosen, needle, progress=progress))
    if app.json:
        app.document(
            {"text": text, "snapshots": len(there), "found": [_document(one, repository.blobs) for one in found]}
        )
        return
    for line in _lines(found, needle, repository.blobs):
        app.out(line)
    rows = len({(one.chain.source, one.chain.elsewhere, one.chain.name, one.key) for one in found})
    versions = f"{plural(len(found), 'version')} in {plural(rows, 'row')}"
    app.say(f"{versions if found else 'nothing'} found in {plural(len(there), 'snapshot')}")


def _chosen(found: Sequence[Chain], source: str | None, tables: Sequence[str]) -> list[Chain]:
    for pattern in tables:
        if not any(matches(chain.name, pattern) for chain in found):
            known = ", ".join(dict.fromkeys(chain.name for chain in found)) or "none"
            raise Invalid(f"no table {pattern!r} in these snapshots", hint=f"They have: {known}.")
    if source is not None and all(chain.source != source for chain in found):
        known = ", ".join(dict.fromkeys(chain.source for chain in found)) or "none"
        raise Invalid(f"no source {source!r} in these snapshots", hint=f"They have: {known}.")
    return [
        chain
        for chain in found
        if (source is None or chain.source == source)
        and (not tables or any(matches(chain.name, pattern) for pattern in tables))
    ]


def _lines(found: Sequence[Found], needle: Needle, fetch: Fetch) -> Iterator[str]:
    several = len({(one.chain.source, one.chain.elsewhere) for one in found}) > 1
    for one in found:
        where = f"{one.chain.source}: {one.table.name}" if several else one.table.name
        where += f" (in {one.chain.elsewhere})" if one.chain.elsewhere else ""
        until = "" if one.first == one.last else f" to {one.last.id[:8]} of {moment(one.last.time)}"
        span = f"{one.first.id[:8]} of {moment(one.first.time)}{until}"
        yield f"{paint(where, 'bold')} {paint(key_text(_key(one)), 'bold')}  {span}, {plural(one.held, 'snapshot')}"
        yield f"    {clean(one.column.name)}: {_excerpt(one, needle, fetch)}"


def _key(one: Found) -> dict[str, Any]:
    return keys_of(one.table.key, Cells.of([one.key], width=one.table.key_width))[0]


def _excerpt(one: Found, needle: Needle, fetch: Fetch) -> str:
    """The words around the place where it first stands."""
    for text in _texts(one, fetch):
        place = needle.span(text)
        if place is not None:
            start, end = max(0, place[0] - _AROUND), min(len(text), place[1] + _AROUND)
            before, after = "…" if start else "", "…" if end < len(text) else ""
            words = clean(text[start : place[0]]), paint(text[slice(*place)], "green"), clean(text[place[1] : end])
            return before + "".join(words) + after
    return ""


def _texts(one: Found, fetch: Fetch) -> list[str]:
    cell = resolve(one.cell, fetch)[0]
    return [] if cell is None else list(texts(one.column.type, cell))


def _document(one: Found, fetch: Fetch) -> dict[str, Any]:
    held = _texts(one, fetch)
    return {
        "source": one.chain.source,
        "elsewhere": one.chain.elsewhere or None,
        "table": one.table.name,
        "key": _key(one),
        "column": one.column.name,
        "value": held[0] if len(held) == 1 else held,
        "first": snapshot_place(one.first),
        "last": snapshot_place(one.last),
        "held": one.held,
    }
