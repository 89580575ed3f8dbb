"""`snap sources`: whether sources can be reached, and what a take of them would hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from snap_cli.completing import source_names
from snap_cli.context import App, command
from snap_cli.errors import FAILED, INCOMPLETE, secrets_in, without_secrets
from snap_cli.render import clean, columns, count, paint, plural
from snap_cli.settings import NamedSource
from snap_cli.sources import chosen_sources, open_source, selection_of_named, url_of
from snap_cli.suggesting import known_json, told
from snapstore.errors import SnapstoreError
from snapstore.operations.probe import Probed, ProbedTable, probe
from snapstore.sources.opening import schema_of

__all__ = ["sources_command"]


@dataclass(frozen=True, slots=True)
class _Look:
    """One source: what was found, or why nothing could be."""

    named: NamedSource
    kind: str = ""
    url: str = ""
    found: Probed | None = None
    error: SnapstoreError | None = None

    @property
    def would_fail(self) -> bool:
        """Whether a take of it would."""
        partial = self.named.selection.partial
        return self.found is None or bool(self.found.missing and not partial)


@command("sources", example="snap sources\nsnap sources agents --json\nsnap sources sqlite:///home/me/agents.db")
@click.argument("sources", nargs=-1, metavar="[URL|NAME|GROUP]...", shell_complete=source_names)
@click.pass_context
def sources_command(context: click.Context, /, sources: tuple[str, ...]) -> None:
    """Look at sources as a take would: are they there, and what would be held.

    Without a name: SNAP_SOURCE, else every source in snap.toml. Tables with more than 100,000 rows in PostgreSQL are
    estimated (~). Memory systems that are known by their tables and files are named, with what snap.toml may say of
    them; nothing of that is done by itself. Exits with 1 if a source cannot be reached or is not as snap.toml says,
    with 3 if something in one would not be held.
    """
    app: App = context.obj
    looks = [_look(app, one) for one in chosen_sources(app, sources)]
    if app.json:
        app.document({"sources": [_json(app, look) for look in looks]})
    else:
        for look in looks:
            _tell(app, look)
    if any(look.found is None for look in looks):
        context.exit(FAILED)
    if any(look.found is not None and look.found.missing for look in looks):
        context.exit(INCOMPLETE)


def _look(app: App, named: NamedSource) -> _Look:
    kind = url = ""
    try:
        place = url_of(app, named)
        app.secrets += secrets_in([place])
        source = open_source(app, place)
        kind, url = source.kind, source.url
        return _Look(named, kind, url, probe(source, selection_of_named(named, schema_of(place))))
    except SnapstoreError as error:
        return _Look(named, kind, url, error=error)


def _json(app: App, look: _Look) -> dict[str, Any]:
    error = look.error
    return {
        "name": look.named.name,
        "kind": look.kind or None,
        "url": look.url or None,
        "reached": look.found is not None,
        "would_fail": look.would_fail,
        "tables": [
            {
                "name": table.name,
                "rows": table.rows,
                "counted": table.is_counted,
                "left_out": list(table.left_out),
                "where": table.where,
            }
            for table in (look.found.tables if look.found else ())
        ],
        "missing": list(look.found.missing) if look.found else [],
        "ignored": list(look.named.ignored),
        "known": known_json(look.found.known) if look.found else [],
        "error": None if error is None else without_secrets(error.message, app.secrets),
        "hint": None if error is None else without_secrets(error.hint, app.secrets),
    }


def _tell(app: App, look: _Look) -> None:
    app.out(f"{paint(look.named.name, 'bold')}  {clean(look.url)}".rstrip())
    if look.error is not None:
        app.out(f"  {paint('cannot be taken:', 'red')} {clean(without_secrets(look.error.message, app.secrets))}")
        if look.error.hint:
            app.out(f"  {clean(without_secrets(look.error.hint, app.secrets))}")
        return
    assert look.found is not None
    rows_of = [["table", "rows", ""], *([table.name, _rows(table), _remarks(table)] for table in look.found.tables)]
    app.out(columns(rows_of, right={1}) if look.found.tables else "  no tables")
    if not look.named.selection.rows:
        app.out("  only the shapes of tables, no rows")
    for missing in look.found.missing:
        app.out(f"  {paint('not held:', 'yellow')} {clean(missing)}")
    if look.found.missing and look.would_fail:
        number = plural(len(look.found.missing), "thing")
        app.out(f"  a take is refused for {number}; --allow-partial (allow-partial in snap.toml) leaves them out")
    for line in told(look.found.known, look.named.name, look.named):
        app.out(line)


def _rows(table: ProbedTable) -> str:
    if table.rows is None:
        return "?"
    return count(table.rows) if table.is_counted else f"~{count(table.rows)}"


def _remarks(table: ProbedTable) -> str:
    told = [f"where {clean(table.where)}"] if table.where else []
    told += [f"without {clean(', '.join(table.left_out))}"] if table.left_out else []
    return "; ".join(told)
