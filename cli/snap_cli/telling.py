"""What is said around a restore: the question before it deletes, what would be done, and what was done.

    confirm(app, [plan])                    # returns if somebody agrees, or nothing is deleted
    tell_done(app, restored)

Nothing is planned or carried out here.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click

from snap_cli.context import App
from snap_cli.plans import plan_json, plan_lines
from snap_cli.render import clean, paint, plural, seconds
from snap_cli.typed import command_line
from snapstore.errors import Invalid
from snapstore.operations.plan import Plan
from snapstore.operations.restore import Restored

__all__ = ["confirm", "tell_done", "tell_dry"]


def confirm(app: App, plans: Sequence[Plan]) -> None:
    """Return if somebody agrees to what the plans delete, or if they delete nothing; else raise `Invalid`."""
    tables = [table for plan in plans for table in plan.tables]
    deletes = sum(table.delete for table in tables)
    dropped = [table.name for table in tables if table.recreate]
    if not deletes and not dropped:
        return
    told = [plural(deletes, "row")] if deletes else []
    told += [f"the table {name} (to make it again)" for name in dropped]
    if not app.is_interactive or app.json:
        raise Invalid(
            f"this would delete {' and '.join(told)}, and nobody is there to be asked; nothing was changed",
            hint="Look at it with --dry-run, then add --yes.",
        )
    for line in (line for plan in plans for line in plan_lines(plan)):
        app.err(line)
    names = [table.name for table in tables if table.delete or table.recreate]
    right = {str(deletes), f"{deletes:,}", *names, *(name.partition(".")[2] for name in names)} - {"0"}
    word = f"{deletes} (the number of rows)" if deletes else names[0]
    answer = click.prompt(
        clean(f"This deletes {' and '.join(told)}. Type {word} or the table's name to go on"),
        default="",
        show_default=False,
        err=True,
    )
    if answer.strip() not in right:
        raise Invalid("not confirmed; nothing was changed", hint="`--dry-run` shows what would be done.")


def tell_dry(
    app: App, plan: Plan, again: Sequence[str], *, notes: Sequence[str] = (), more: Mapping[str, Any] | None = None
) -> None:
    """What would be done, and the command that does exactly this; `notes` are lines, `more` fields of the document."""
    if plan.obstacle and not plan.is_empty:
        app.warn(clean(plan.obstacle))
    if app.json:
        app.document({**plan_json(plan), **(more or {})})
        return
    app.out("dry run: nothing is changed")
    for line in (*plan_lines(plan), *notes):
        app.out(line)
    app.out(f"plan {paint(plan.id, 'bold')}")
    if plan.errors:
        app.out("it cannot be carried out; `--recreate` rebuilds such tables, `--exclude-column` leaves a column out")
    elif plan.is_empty:
        app.out("nothing to do")
    elif not plan.obstacle:
        app.out(f"to do exactly this:\n  {shlex.join([*again, '--plan', plan.id])}")


def tell_done(app: App, restored: Restored, *, more: Mapping[str, Any] | None = None) -> None:
    """What was done; `more` are fields of the document."""
    plan = restored.plan
    shape = plan_json(plan)
    shape["safety"] = restored.safety.id if restored.safety else None
    shape["seconds"] = restored.seconds
    shape["notes"] = list(restored.notes)
    app.result({**shape, **(more or {})})
    if app.json:
        return
    for line in plan_lines(plan):
        app.out(line)
    if plan.is_empty:
        told = "" if restored.notes else "nothing to do: "
        told = "every row there was to restore is refused: " if restored.refused else told
        app.out(f"{told}the live rows are as this restore would leave them")
        for note in restored.notes:
            app.out(clean(note))
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
            f"the state before is the safety snapshot {paint(restored.safety.id[:8], 'bold')}; "
            f"`{clean(command_line(app, 'undo'))}` restores it"
        )
