"""What `[hooks]` and `[notices]` of snap.toml say: which commands run around a command, and who is told how it ended.

    hooks = hooks_of(words.table("hooks"))
    hooks.before                            # ['./lock', '--all'], or None

Nothing is run or sent here. The URLs are secrets: they may hold tokens.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from snap_cli.words import Words, nearest

__all__ = ["HOOKS", "HOOK_WORDS", "NOTICE_WORDS", "Hooks", "Notices", "hooks_of", "notices_of"]

HOOKS = ("before", "after", "on-failure", "finally")
HOOK_WORDS = (*HOOKS, "limit-seconds")
_ENDINGS = ("failure", "success")
NOTICE_WORDS = ("webhook", "on", "health-check", "prometheus")
_LIMIT_SECONDS = 600
_HTTP = re.compile(r"https?://[^\s]+")


@dataclass(frozen=True, slots=True)
class Hooks:
    """Commands in words, each None where nobody wants one: before, after a success, on a failure, and finally."""

    before: tuple[str, ...] | None = None
    after: tuple[str, ...] | None = None
    on_failure: tuple[str, ...] | None = None
    at_last: tuple[str, ...] | None = None
    limit_seconds: int = _LIMIT_SECONDS

    @property
    def is_empty(self) -> bool:
        """Whether there is none."""
        return not any((self.before, self.after, self.on_failure, self.at_last))


@dataclass(frozen=True, slots=True)
class Notices:
    """URLs as written, with `${NAME}` in them, and the file for Prometheus; `on` is of the webhook alone."""

    webhook: str | None = None
    on: tuple[str, ...] = _ENDINGS
    health_check: str | None = None
    prometheus: Path | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nobody is told."""
        return not any((self.webhook, self.health_check, self.prometheus))


def hooks_of(words: Words) -> Hooks:
    """The hooks of this table. Raises `Invalid` for one that cannot be split into words."""
    words.known(*HOOK_WORDS)
    limit = words.count("limit-seconds") if words.has("limit-seconds") else _LIMIT_SECONDS
    if not limit:
        raise words.wrong("limit-seconds", "must be 1 or more")
    before, after, on_failure, at_last = (_split(words, name) for name in HOOKS)
    return Hooks(before, after, on_failure, at_last, limit)


def notices_of(words: Words) -> Notices:
    """The notices of this table; a relative file is relative to snap.toml. Raises `Invalid`, never with a URL in it."""
    words.known(*NOTICE_WORDS)
    on = words.texts("on") if words.has("on") else _ENDINGS
    for one in on:
        if one not in _ENDINGS:
            raise words.wrong("on", f"has {one!r}", nearest(one, _ENDINGS))
    file = words.text("prometheus")
    path = None if file is None else words.document.path.parent / Path(file).expanduser()
    return Notices(_url(words, "webhook"), on, _url(words, "health-check"), path)


def _split(words: Words, name: str) -> tuple[str, ...] | None:
    text = words.text(name)
    if text is None:
        return None
    try:
        found = tuple(shlex.split(text))
    except ValueError as error:
        raise words.wrong(
            name, f"is not a command: {error}", "It is split as a shell would, and run without one."
        ) from None
    if not found:
        raise words.wrong(name, "is not a command", "It is split as a shell would, and run without one.")
    return found


def _url(words: Words, name: str) -> str | None:
    text = words.text(name)
    if text is not None and not text.startswith("${") and not _HTTP.fullmatch(text):
        raise words.wrong(name, "is not a URL of a web server", 'Write "https://…", or "${NAME}" for a variable.')
    return text
