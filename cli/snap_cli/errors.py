"""From an error to one sentence, a hint and an exit code (DESIGN §9): the one place that decides how a failure ends.

    failure = failure_of(error, command="restore")
    failure.exit_code, failure.text, failure.document

Secrets that were on the command line are struck out of every word, traceback included. This module prints nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import click

from snap_cli.render import clean, paint
from snapstore.errors import Conflict, Corrupt, Invalid, NotFound, SnapstoreError, WrongKey

__all__ = [
    "CONFLICT", "DAMAGED", "FAILED", "INCOMPLETE", "INTERRUPTED", "MISUSE", "NO_REPOSITORY", "WRONG_KEY",
    "Failure", "Interrupted", "NoRepository", "failure_of", "secrets_in", "without_secrets",
]  # fmt: skip

FAILED, MISUSE, INCOMPLETE, DAMAGED, CONFLICT = 1, 2, 3, 4, 5
NO_REPOSITORY, WRONG_KEY, INTERRUPTED = 10, 12, 130

# What a person restores is refused by conflict; elsewhere a conflict is only a failure.
_RESTORING = ("restore", "undo")


class NoRepository(NotFound):
    """There is no repository where one was looked for."""

    code = "no_repository"


class Interrupted(SnapstoreError):
    """Ctrl-C."""

    code = "interrupted"


@dataclass(frozen=True, slots=True)
class Failure:
    """What is said of an error, and how the program ends."""

    exit_code: int
    code: str
    message: str
    hint: str = ""

    @property
    def text(self) -> str:
        """For people: one sentence (or a list, each thing on a line), and what to do on a line of its own."""
        # No line but ours begins at the margin, whatever a name from a database has in it.
        first, *others = self.message.split("\n")
        told = "\n".join([f"{paint('error:', 'red')} {clean(first)}", *(f"  {clean(one.strip())}" for one in others)])
        return told + (f"\n{paint('hint:', 'cyan')} {clean(self.hint)}" if self.hint else "")

    @property
    def document(self) -> dict[str, Any]:
        """For programs."""
        return {"message_type": "error", "code": self.code, "message": self.message, "hint": self.hint}


def failure_of(error: BaseException, *, command: str = "", secrets: Sequence[str] = ()) -> Failure:
    """What to say of this error, and the exit code it means."""
    found = _failure(error, command)
    return Failure(
        found.exit_code, found.code, without_secrets(found.message, secrets), without_secrets(found.hint, secrets)
    )


def _failure(error: BaseException, command: str) -> Failure:
    if isinstance(error, SnapstoreError):
        hint = error.hint or ("`snap verify` shows what it harms." if isinstance(error, Corrupt) else "")
        return Failure(_exit_code(error, command), error.code, error.message, hint)
    if isinstance(error, click.UsageError):
        known = "snap" if error.ctx is None else error.ctx.command_path
        return Failure(MISUSE, "usage", error.format_message(), f"`{known} --help` says how it is used.")
    if isinstance(error, click.ClickException):
        return Failure(FAILED, "failed", error.format_message())
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Failure(INTERRUPTED, "interrupted", *_INTERRUPTED)
    if isinstance(error, MemoryError):
        return Failure(FAILED, "memory", "there is not enough memory", "Free some, or take fewer tables at once.")
    said = " ".join(str(error).split())[:300]
    return Failure(
        FAILED,
        "unexpected",
        f"something went wrong inside snap: {type(error).__name__}" + (f": {said}" if said else ""),
        "This is a bug: please report it, with what -vv shows.",
    )


_INTERRUPTED = (
    "interrupted; nothing was lost",
    "A take or restore happens whole or not at all: `snap list` and `snap status` show where things stand.",
)


def _exit_code(error: SnapstoreError, command: str) -> int:
    if isinstance(error, NoRepository):
        return NO_REPOSITORY
    if isinstance(error, Interrupted):
        return INTERRUPTED
    if isinstance(error, WrongKey):
        return WRONG_KEY
    # A blob that some snapshot needs and no pack holds is damage, however it is found.
    if isinstance(error, Corrupt) or (isinstance(error, NotFound) and "is in no pack of" in error.message):
        return DAMAGED
    if isinstance(error, Invalid):
        return MISUSE
    if isinstance(error, Conflict) and command in _RESTORING:
        return CONFLICT
    return FAILED


_IN_URL = re.compile(r"://[^/?#\s]*?:([^\s]*)@")
_IN_PARAMETERS = re.compile(r"(?:\w*(?:password|secret|scram)\w*)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]+)", re.IGNORECASE)


def secrets_in(words: Sequence[str]) -> list[str]:
    """What looks like a password in URLs and `key=value` strings among these words, longest first."""
    found = set()
    for word in words:
        for secret in _IN_URL.findall(word) + _IN_PARAMETERS.findall(word):
            found |= {secret, unquote(secret), secret.strip("'")}
    return sorted((secret for secret in found if len(secret) > 2), key=len, reverse=True)


def without_secrets(text: str, secrets: Sequence[str]) -> str:
    """The text with these struck out."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return text
