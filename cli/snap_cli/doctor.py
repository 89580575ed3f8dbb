"""`snap doctor`: is all well, and what to do where it is not."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click

from snap_cli.checkup import Finding, Status, checkup
from snap_cli.context import App, command
from snap_cli.errors import FAILED
from snap_cli.render import clean, paint, plural
from snapstore.errors import Invalid
from snapstore.operations.retention import parse_duration

__all__ = ["doctor_command"]

_COLOURS = {Status.OK: "green", Status.NOTE: "cyan", Status.TODO: "red"}


class _AgeType(click.ParamType[timedelta]):
    name = "AGE"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except Invalid as error:
            self.fail(f"{error.message}. {error.hint}", param, ctx)


@command(
    "doctor",
    example="snap doctor\n"
    "snap doctor --max-age 26h -q          # for cron: prints only what is to do\n"
    "snap doctor agents --json",
)
@click.argument("sources", nargs=-1, metavar="[NAME]...")
@click.option("--max-age", type=_AgeType(), help="How old the last snapshot may be [by the schedule, else 26h].")
@click.option("--verify-age", type=_AgeType(), default="8d", help="How long ago the last `snap verify` may be [8d].")
@click.pass_context
def doctor_command(
    context: click.Context, /, sources: tuple[str, ...], max_age: timedelta | None, verify_age: timedelta
) -> None:
    """Say whether all is well: recent, whole, verified and scheduled snapshots, and room for more.

    Looks at these sources, else those of snap.toml, else all that have snapshots; reads no rows, asks no source, and
    writes nothing. Each thing to do comes with the command to type.

    Exits with 0 if all is well (a note does not count), 1 if there is something to do, and 2 for misuse.
    """
    app: App = context.obj
    findings = list(checkup(app, names=sources, max_age=max_age, verify_age=verify_age, now=datetime.now(UTC)))
    todo = sum(one.status is Status.TODO for one in findings)
    if app.json:
        app.document({"well": not todo, "findings": [asdict(one) for one in findings]})
    else:
        for one in findings:
            _tell(app, one)
        app.say(paint(f"{plural(todo, 'thing')} to do", "red") if todo else paint("all is well", "green"))
    if todo:
        context.exit(FAILED)


def _tell(app: App, finding: Finding) -> None:
    if app.quiet and finding.status is not Status.TODO:
        return
    status = paint(f"{finding.status.value:<4}", _COLOURS[finding.status])
    source = f"{clean(finding.source)}: " if finding.source else ""
    app.out(f"{status}  {finding.check:<10}  {source}{clean(finding.told)}")
    if finding.command:
        app.out(f"      {'':<10}  {paint(finding.command, 'bold')}")
