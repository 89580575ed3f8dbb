"""Plans for people and for JSON: what a restore would do, what it did, and the question before it deletes.

    for line in plan_lines(plan): ...
    confirm(app, [plan])                        # returns if somebody agrees, or nothing is deleted

Nothing is planned or carried out here.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import click

from snap_cli.context import App
from snap_cli.render import clean, columns, count, paint, plural, seconds
from snapstore.errors import Invalid
from snapstore.operations.plan import Plan, TablePlan
from snapstore.operations.restore import Restored

__all__ = ["confirm", "plan_json", "plan_lines", "tell_done", "tell_dry"]


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
        f"This deletes {' and '.join(told)}. Type {word} or the table's name to go on",
        default="",
        show_default=False,
        err=True,
    )
    if answer.strip() not in right:
        raise Invalid("not confirmed; nothing was changed", hint="`--dry-run` shows what would be done.")


def tell_dry(app: App, plan: Plan, again: Sequence[str]) -> None:
    """What would be done, and the command that does exactly this."""
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


def plan_lines(plan: Plan) -> list[str]:
    """The plan as lines for people."""
    shown = [["table", "insert", "update", "delete", "skip", "keep"]]
    notes: list[str] = []
    several = len({table.source for table in plan.tables}) > 1
    for table in plan.tables:
        numbers = [count(one) for one in (table.insert, table.update)]
        shown.append(
            [
                f"{table.source}: {table.name}" if several else table.name,
                *numbers,
                _red(table.delete),
                count(table.skip),
                count(table.keep),
            ]
        )
        notes += _notes(table)
        notes += _unsure(table)
    lines = [columns(shown, right={1, 2, 3, 4, 5})] if plan.tables else ["no tables"]
    skipped, kept = (sum(getattr(table, what) for table in plan.tables) for what in ("skip", "keep"))
    kept -= sum(table.unsure for table in plan.tables)
    if skipped:
        differ = "differs and stays as it is" if skipped == 1 else "differ and stay as they are"
        notes.append(f"  {plural(skipped, 'row')} {differ} (--conflict update sets the columns that differ)")
    if kept:
        notes.append(f"  {plural(kept, 'row')} only live, kept (--exact deletes such rows)")
    return lines + notes


def _red(number: int) -> str:
    return paint(count(number), "red") if number else "0"


def _notes(table: TablePlan) -> list[str]:
    notes = []
    if table.create:
        notes.append(f"  {table.name}: is not there and will be made")
    if table.recreate:
        notes.append(f"  {paint(table.name + ': will be dropped and made again', 'red')}")
    if table.updates:
        cells = ", ".join(f"{clean(name)} in {plural(number, 'row')}" for name, number in table.updates.items())
        notes.append(f"  {table.name}: sets {cells}")
    notes += _side_by_side(table)
    notes += [f"  {paint('cannot be restored:', 'red')} {clean(words)}" for words in table.errors]
    return notes


def _unsure(table: TablePlan) -> list[str]:
    """Rows that --exact leaves alone, because the snapshot cannot say whether they were there."""
    if not table.unsure:
        return []
    explicit = shlex.join(["--where", f"{table.name}={table.condition}"])
    return [
        f"  {table.name}: {plural(table.unsure, 'row')} kept that the snapshot lacks, though its condition is met now: "
        "they may have been there without meeting it",
        f"  (to delete them all the same, name them: {clean(explicit)})",
    ]


def _side_by_side(table: TablePlan) -> list[str]:
    """How the live table differs from the snapshot's, and what becomes of it."""
    if not table.drift:
        return []
    lines = [[f"  {table.name}", "live", "in the snapshot", ""]]
    lines += [
        [f"    {clean(one.what)}", clean(one.live) or "–", clean(one.snapshot) or "–", one.outcome]
        for one in table.drift
    ]
    return columns(lines, indent=0, widest=56).splitlines()


def tell_done(app: App, restored: Restored) -> None:
    """What was done."""
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


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan for programs."""
    return {
        "plan": plan.id,
        "mode": plan.mode.value,
        "snapshot": plan.snapshot,
        "tables": [
            {
                "source": table.source,
                "name": table.name,
                "insert": table.insert,
                "update": table.update,
                "delete": table.delete,
                "skip": table.skip,
                "keep": table.keep,
                "unsure": table.unsure,
                "columns": dict(table.updates),
                "create": table.create,
                "recreate": table.recreate,
                "shape": list(table.shape),
                "drift": [
                    {"what": one.what, "live": one.live, "snapshot": one.snapshot, "outcome": one.outcome}
                    for one in table.drift
                ],
                "errors": list(table.errors),
            }
            for table in plan.tables
        ],
    }
