"""A plan for people and as JSON: what a restore would do to each table, and how the table moved on since.

    for line in plan_lines(plan):
        app.out(line)

It decides nothing and changes nothing.
"""

from __future__ import annotations

import shlex
from typing import Any

from snap_cli.ignoring import tell_ignored
from snap_cli.render import clean, columns, count, paint, plural
from snapstore.operations.plan import Plan, TablePlan

__all__ = ["plan_json", "plan_lines"]


def plan_lines(plan: Plan) -> list[str]:
    """The plan as lines of text."""
    shown = [["table", "insert", "update", "delete", "skip", "keep"]]
    notes: list[str] = []
    several = len({table.source for table in plan.tables}) > 1
    for table in plan.tables:
        numbers = [count(one) for one in (table.insert, table.update)]
        label = f"{table.source}: {table.name}" if several else table.name
        shown.append([label, *numbers, _red(table.delete), count(table.skip), count(table.keep)])
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
    if told := tell_ignored((table.name, table.ignored) for table in plan.tables):
        notes.append(f"  {told}")
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
    if table.without:
        names = clean(", ".join(table.without))
        told = f"{plural(table.insert, 'row')} will have no {names} (not in the snapshot, or left out)"
        notes.append(f"  {table.name}: {paint(told, 'red')}")
    if table.by_content and not table.is_empty:
        notes.append(f"  {table.name}: has no key: rows are the same if all their cells are, and are counted")
    notes += _side_by_side(table)
    notes += [f"  {paint('cannot be restored:', 'red')} {clean(words)}" for words in table.errors]
    return notes


def _unsure(table: TablePlan) -> list[str]:
    """Rows that --exact leaves alone, because the snapshot cannot say whether they were there."""
    if not table.unsure:
        return []
    explicit = shlex.join(["--where", f"{table.name}={table.condition or 'true'}"])
    if not table.condition:
        return [
            f"  {table.name}: {plural(table.unsure, 'row')} kept that the snapshot lacks: not all of its rows are "
            "held (damage, say, or an export of some), and they may have been among the others",
            f"  (to delete them all the same, name them: {clean(explicit)})",
        ]
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


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as a document (its fields may be added to, never changed)."""
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
                "without": list(table.without),
                "ignored": list(table.ignored),
            }
            for table in plan.tables
        ],
    }
