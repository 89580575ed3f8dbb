"""`snap restore`: put back what a snapshot holds, or show what that would do."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import click

from snap_cli.context import App, command
from snap_cli.manifests import tell_missing
from snap_cli.names import keys_by_table, one_table
from snap_cli.plans import plan_json, plan_lines
from snap_cli.render import clean, paint, plural, seconds
from snap_cli.sources import live_sources
from snapstore.errors import Conflict, Invalid
from snapstore.operations.plan import Mode, Plan
from snapstore.operations.restore import Ask, Restored, plan_restore, restore
from snapstore.operations.scope import Scope
from snapstore.operations.state import StateTable, matches, of_snapshot
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.sources import Source

__all__ = ["carry_out", "restore_command"]


@command(
    "restore",
    example="snap restore latest --dry-run\n"
    "snap restore latest~1 --conflict update --table memories\n"
    "snap restore 1f2e3d4c --exact --key memories:17\n"
    "snap restore latest --to postgresql://me@localhost/an_empty_database",
)
@click.argument("name", metavar="SNAP")
@click.option("--dry-run", is_flag=True, help="Say what would be done, with a plan id; change nothing.")
@click.option(
    "--conflict",
    type=click.Choice(["skip", "update"]),
    help="Rows that differ: leave the live ones (skip, the default), or set the columns that differ (update).",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Like update, and delete rows that the snapshot does not have (of one taken with --where: only rows that "
    "--key or --where name).",
)
@click.option("--table", "tables", multiple=True, metavar="PATTERN", help="Only these tables.")
@click.option("--where", "conditions", multiple=True, metavar="[TABLE=]SQL", help="Only rows that meet a condition.")
@click.option("--key", "keys", multiple=True, metavar="TABLE:KEY", help="Only the row with this key.")
@click.option("--exclude-column", "exclude_columns", multiple=True, metavar="TABLE.COLUMN", help="Not this column.")
@click.option("--source", metavar="NAME", help="Of several sources in the snapshot, this one.")
@click.option("--to", metavar="URL|NAME", help="The live database [SNAP_SOURCE, or as recorded].")
@click.option("--plan", "plan_id", metavar="ID", help="Do exactly what a dry run said, or exit 5 if rows have drifted.")
@click.option("--recreate", is_flag=True, help="Rebuild tables whose shape changed as they were (drops the live ones).")
@click.option("--no-privileges", is_flag=True, help="Do not give tables that are made the privileges they had.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@click.option("--no-verify", is_flag=True, help="Do not read the rows back before committing.")
@click.pass_obj
def restore_command(
    app: App,
    name: str,
    dry_run: bool,
    conflict: str | None,
    exact: bool,
    tables: tuple[str, ...],
    conditions: tuple[str, ...],
    keys: tuple[str, ...],
    exclude_columns: tuple[str, ...],
    source: str | None,
    to: str | None,
    plan_id: str | None,
    recreate: bool,
    no_privileges: bool,
    yes: bool,
    no_verify: bool,
) -> None:
    """Put back what a snapshot holds: rows that are missing, and with --conflict update or --exact those that differ.

    Everything happens in one transaction or not at all, after a snapshot of what will be overwritten (`snap undo`
    restores that). An empty database gets everything: extensions, tables, rows, indexes.

    Where a live table has other columns, types or constraints by now, the columns that both have are restored, cells
    of another type converted as the server assigns them; what cannot be is refused, and --recreate rebuilds the table.
    """
    if exact and conflict == "skip":
        raise Invalid("--exact and --conflict skip contradict each other", hint="Choose one of them.")
    if plan_id is not None and dry_run:
        raise Invalid("--plan and --dry-run contradict each other", hint="Choose one of them.")
    mode = Mode.EXACT if exact else Mode(conflict or "skip")
    repository = app.repository()
    snapshot = app.snapshot(repository, name)
    pairs = live_sources(app, snapshot, source=source, to=to)
    if len(pairs) > 1:
        names = ", ".join(own.name for own in snapshot.sources)
        raise Invalid(
            f"the snapshot {snapshot.id[:8]} has several sources", hint=f"Restore one at a time with --source: {names}."
        )
    held, live = pairs[0]
    state = of_snapshot(repository, snapshot, held.name)
    # What only the live table has, --exact may delete.
    wanted = keys_by_table([state], keys, snapshot.id[:8], absent=exact)
    where = _conditions(state.tables, tables, conditions, snapshot.id[:8])
    ask = Ask(
        mode=mode,
        source=held.name,
        tables=_patterns(tables, wanted, where),
        scope=Scope(keys=wanted, where=where),
        exclude_columns=tuple(one if one.count(".") != 1 else f"public.{one}" for one in exclude_columns),
        recreate=recreate,
        privileges=not no_privileges,
    )
    again = ["snap", *(["-r", app.repo] if app.repo else []), "restore", snapshot.id[:8]]
    again += ["--exact"] if exact else ["--conflict", mode.value] if mode is not Mode.SKIP else []
    again += [word for one in tables for word in ("--table", one)] + [word for one in keys for word in ("--key", one)]
    again += [word for one in conditions for word in ("--where", one)]
    again += [word for one in exclude_columns for word in ("--exclude-column", one)]
    again += ["--source", held.name] if len(snapshot.sources) > 1 else []
    again += ["--to", to if to in app.settings.sources else live.url] if to else []
    again += ["--recreate"] if recreate else []
    again += ["--no-privileges"] if no_privileges else []
    carry_out(
        app, repository, snapshot, held, live, ask,
        dry_run=dry_run, plan_id=plan_id, yes=yes, verify=not no_verify, again=again,
    )  # fmt: skip


def carry_out(
    app: App,
    repository: Repository,
    snapshot: Snapshot,
    held: SnapshotSource,
    live: Source,
    ask: Ask,
    *,
    dry_run: bool,
    plan_id: str | None,
    yes: bool,
    verify: bool,
    again: Sequence[str],
) -> None:
    """Plan, show, ask if something would be deleted, and restore; `again` is the command that a dry run names."""
    for told in tell_missing(held):
        app.warn(f"{snapshot.id[:8]}: {told}")
    must_ask = not yes and (ask.mode is Mode.EXACT or ask.recreate)
    if dry_run or must_ask:
        with app.progress() as progress:
            plan = plan_restore(repository, snapshot, live, ask, progress=progress)
        if dry_run:
            _tell_dry(app, plan, again)
            return
        if plan_id is not None and plan.id != plan_id:
            raise Conflict(
                f"the live rows have changed since the plan {plan_id[:12]} was made; nothing was changed",
                hint="Make a new plan with --dry-run and look at it.",
            )
        if not plan.errors:
            _ask(app, plan)
        plan_id = plan.id
    with app.progress() if not app.json else nullcontext(lambda *_: None) as progress:
        restored = restore(
            repository, snapshot, live, ask, plan_id=plan_id, verify=verify, host=app.host, progress=progress
        )
    _tell_done(app, restored)


def _patterns(tables: Sequence[str], keys: Mapping[str, Any], where: Mapping[str, str]) -> tuple[str, ...]:
    """The tables to look at: keys and conditions name theirs."""
    named = dict.fromkeys([*keys, *where])
    return tuple(tables) if tables else tuple(named)


def _conditions(
    found: Sequence[StateTable], patterns: Sequence[str], texts: Sequence[str], label: str
) -> dict[str, str]:
    """Conditions by full table name; without `TABLE=` there must be only one table that can be meant."""
    conditions: dict[str, str] = {}
    for text in texts:
        head, mark, rest = text.partition("=")
        name = head.strip()
        if mark and any(name in (table.name, table.name.partition(".")[2]) for table in found):
            conditions[one_table(found, name, label).name] = rest.strip()
            continue
        meant = [table for table in found if not patterns or any(matches(table.name, one) for one in patterns)]
        if len(meant) != 1:
            raise Invalid(
                f"--where {clean(text)!r} could be about {plural(len(meant), 'table')}",
                hint="Write it as TABLE=SQL, or choose the table with --table.",
            )
        conditions[meant[0].name] = text
    return conditions


def _ask(app: App, plan: Plan) -> None:
    """Return if somebody agrees to what the plan deletes, or if it deletes nothing; else raise `Invalid`."""
    deletes = sum(table.delete for table in plan.tables)
    dropped = [table.name for table in plan.tables if table.recreate]
    if not deletes and not dropped:
        return
    told = [plural(deletes, "row")] if deletes else []
    told += [f"the table {name} (to make it again)" for name in dropped]
    if not app.is_interactive or app.json:
        raise Invalid(
            f"this would delete {' and '.join(told)}, and nobody is there to be asked; nothing was changed",
            hint="Look at it with --dry-run, then add --yes.",
        )
    for line in plan_lines(plan):
        app.err(line)
    names = [table.name for table in plan.tables if table.delete or table.recreate]
    right = {str(deletes), f"{deletes:,}", *names, *(name.partition(".")[2] for name in names)} - {"0"}
    word = f"{deletes} (the number of rows)" if deletes else names[0]
    answer = click.prompt(
        f"This deletes {' and '.join(told)}. Type {word} or the table's name to go on",
        default="",
        show_default=False,
        err=True,
    )
    if answer.strip() not in right:
        raise Invalid("not confirmed; nothing was changed", hint="`--dry-run` shows what would be done.")


def _tell_dry(app: App, plan: Plan, again: Sequence[str]) -> None:
    if app.json:
        app.document(plan_json(plan))
        return
    app.out("dry run: nothing is changed")
    for line in plan_lines(plan):
        app.out(line)
    app.out(f"plan {paint(plan.id, 'bold')}")
    if plan.errors:
        app.out("it cannot be carried out; `--recreate` rebuilds such tables, `--exclude-column` leaves a column out")
    elif plan.is_empty:
        app.out("nothing to do")
    else:
        app.out(f"to do exactly this:\n  {shlex.join([*again, '--plan', plan.id])}")


def _tell_done(app: App, restored: Restored) -> None:
    plan = restored.plan
    if app.json:
        shape = plan_json(plan)
        shape["safety"] = restored.safety.id if restored.safety else None
        shape["seconds"] = restored.seconds
        shape["notes"] = list(restored.notes)
        app.document(shape)
        return
    for line in plan_lines(plan):
        app.out(line)
    if plan.is_empty:
        app.out("nothing to do: the live rows are as this restore would leave them")
        return
    done = [
        plural(sum(getattr(table, what) for table in plan.tables), "row") + f" {word}"
        for what, word in (("insert", "inserted"), ("update", "updated"), ("delete", "deleted"))
        if any(getattr(table, what) for table in plan.tables)
    ]
    made = sum(table.create or table.recreate for table in plan.tables)
    done += [plural(made, "table") + " made"] if made else []
    app.out(f"restored in {seconds(restored.seconds)}: {', '.join(done)}")
    for note in restored.notes:
        app.out(clean(note))
    if restored.safety is not None:
        app.out(
            f"the state before is the safety snapshot {paint(restored.safety.id[:8], 'bold')}; `snap undo` restores it"
        )
