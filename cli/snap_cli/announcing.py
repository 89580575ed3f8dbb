"""A command with something around it: the hooks and the notices of snap.toml.

    @command("take", example=…, cls=Announced)

A `before` that fails stops the command. What comes after it changes neither the result, which is printed by then, nor
the exit code: what goes wrong there is a warning. A dry run does nothing that anybody need be told.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import click

from snap_cli.context import App
from snap_cli.errors import FAILED, failure_of, without_secrets
from snap_cli.hooks import run_hook
from snap_cli.prometheus import Run, record
from snap_cli.render import clean
from snap_cli.sources import chosen_sources
from snapstore.errors import Invalid, SnapstoreError, Unavailable

__all__ = ["Announced"]

_TAKE = "take"


class Announced(click.Command):
    """A command whose end is told to whom snap.toml names."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, with all that is wanted before and after."""
        app: App = ctx.obj
        settings = app.settings
        is_silent = app.is_in_hook or bool(ctx.params.get("dry_run"))
        if is_silent or (settings.hooks.is_empty and settings.notices.is_empty):
            return super().invoke(ctx)
        began, name = time.time(), str(self.name)
        try:
            self._before(app, name)
            began = time.time()
            result = super().invoke(ctx)
        except BaseException as error:  # however it ends, somebody waits to hear of it
            code, document = _ending(error, app, name)
            _tell(app, ctx, document, code, began)
            raise
        _tell(app, ctx, app.outcome, 0, began)
        return result

    def _before(self, app: App, name: str) -> None:
        words = app.settings.hooks.before
        if words is None:
            return
        problem = _run(app, "before", words, {"command": name, "exit_code": None})
        if problem:
            raise Unavailable(
                f"the hook `before` failed ({clean(words[0])}: {problem}); `snap {name}` was not begun",
                hint=f"It is in {app.settings.path}.",
            )


def _ending(error: BaseException, app: App, name: str) -> tuple[int, Mapping[str, Any]]:
    """The exit code, and the document: the result where a command ended by itself, what is said of an error else."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code, app.outcome
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILED, app.outcome
    failure = failure_of(error, command=name, secrets=app.secrets)
    return failure.exit_code, failure.document


def _tell(app: App, ctx: click.Context, document: Mapping[str, Any], code: int, began: float) -> None:
    """Everybody who wants to know; hooks first, one after the other."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    ended = time.time()
    told = {**_struck(document, app.secrets), "command": ctx.command.name, "exit_code": code}
    hooks, notices = app.settings.hooks, app.settings.notices
    wanted = ("on-failure", hooks.on_failure) if code else ("after", hooks.after)
    for name, words in (wanted, ("finally", hooks.at_last)):
        if words is not None and (problem := _run(app, name, words, told)):
            app.warn(f"the hook `{name}` failed: {clean(words[0])}: {problem}")
    is_take = ctx.command.name == _TAKE
    calls: list[tuple[str, str, Any]] = []
    if notices.webhook is not None and ("failure" if code else "success") in notices.on:
        calls.append(("webhook", notices.webhook, told))
    if notices.health_check is not None and is_take:
        calls.append(("health check", notices.health_check, None))
    for problem in _sent(app, calls, is_failure=bool(code)):
        app.warn(f"[notices]: {problem}")
    if notices.prometheus is not None and is_take:
        run = _run_of(app, ctx, document, code, ended=ended, duration_seconds=ended - began)
        try:
            record(notices.prometheus, run)
        except SnapstoreError as error:
            app.warn(f"[notices]: {error.message}. {error.hint}".rstrip())


def _sent(app: App, calls: Sequence[tuple[str, str, Any]], *, is_failure: bool) -> list[str]:
    """Send each document to its URL, as written, or ping that where there is none; what went wrong, in words."""
    if not calls:
        return []
    from snap_cli.notices import Call, failing, send

    ready, problems = [], []
    for name, url, document in calls:
        try:
            found = app.secret(url)
            if not found.startswith(("http://", "https://")):
                raise Invalid("its URL is not one of a web server")
            ready.append(Call(name, failing(found) if document is None and is_failure else found, document))
        except SnapstoreError as error:
            problems.append(f"the {name}: {error.message}")
        except ValueError:
            problems.append(f"the {name}: its URL cannot be understood")
    return problems + send(ready)


def _run(app: App, name: str, words: tuple[str, ...], document: Mapping[str, Any]) -> str:
    """Run a hook, and pass on what it printed; why it failed, if it did."""
    assert app.settings.path is not None
    said = run_hook(
        words, document, app.settings.path.parent,
        limit_seconds=app.settings.hooks.limit_seconds, environment=app.environment_of_hook(name),
    )  # fmt: skip
    if said.printed and (said.problem or not app.quiet):
        app.err(without_secrets(said.printed, app.secrets))
    return said.problem


def _run_of(
    app: App, ctx: click.Context, document: Mapping[str, Any], code: int, *, ended: float, duration_seconds: float
) -> Run:
    held = document.get("sources") or ()
    names = [one["name"] for one in held]
    with suppress(SnapstoreError):  # one that could not be reached is in no snapshot
        given = ctx.params["name"]
        chosen = [own.name for own in chosen_sources(app, ctx.params["sources"])]
        names += [one for one in ([given] if given else chosen) if one not in names]
    rows = {one["name"]: sum(table["rows"] for table in one["tables"]) for one in held}
    return Run(names, code, ended, duration_seconds, document.get("bytes_added"), rows)


def _struck(value: Any, secrets: list[str]) -> Any:
    """The value with secrets struck out of every text; names of fields are ours."""
    if isinstance(value, str):
        return without_secrets(value, secrets)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _struck(own, secrets) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_struck(own, secrets) for own in value]
    return value if value is None or isinstance(value, int | float) else str(value)
