"""Where a passphrase comes from: a file, a command, the environment, or a person who types it.

    given(file, None)                       # bytes, or None if nothing was named
    asked(True, "Passphrase")
    chosen(True, "New passphrase")          # asked for twice

It is the first line without its end, as bytes; what is typed is UTF-8. It is shown nowhere, errors included.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import click

from snapstore.errors import Invalid, Unavailable, WrongKey

__all__ = ["asked", "chosen", "given", "given_in", "printed"]

VARIABLE = "SNAP_PASSPHRASE"
_SECONDS = 300


def given(file: str | None, command: str | None) -> bytes | None:
    """The passphrase from one of these, None if neither is named. Raises `Invalid` and `Unavailable`."""
    if file and command:
        raise Invalid("two places for one passphrase", hint="Name a file or a command, not both.")
    if file:
        return _from_file(file)
    return printed(command, "the passphrase command") if command else None


def given_in(environment: Mapping[str, str], side: str = "") -> bytes | None:
    """The passphrase from the environment, None if it has none; with a `side`, that of the repository on it."""
    variable = _variable_of(side)
    if environment.get(variable):
        return environment[variable].encode("utf-8", "surrogateescape")
    return given(environment.get(variable + "_FILE"), environment.get(variable + "_COMMAND"))


def _variable_of(side: str) -> str:
    """SNAP_PASSPHRASE; SNAP_TO_PASSPHRASE for the side "to"."""
    return f"SNAP_{side.upper()}_PASSPHRASE" if side else VARIABLE


def asked(is_interactive: bool, prompt: str, side: str = "") -> bytes:
    """The passphrase as a person types it. Raises `WrongKey` where nobody can be asked."""
    if not is_interactive:
        option = f"--{side}-passphrase" if side else "--passphrase"
        raise WrongKey(
            "the repository is encrypted, and no passphrase was given",
            hint=f"Give one with {option}-file, {option}-command or {_variable_of(side)}.",
        )
    return _bytes(click.prompt(prompt, hide_input=True, err=True))


def chosen(is_interactive: bool, prompt: str) -> bytes:
    """A new passphrase, typed twice. Raises `WrongKey` where nobody can be asked."""
    if not is_interactive:
        raise WrongKey(
            "a passphrase is needed, and nobody can be asked for it", hint="Name a file or a command that has it."
        )
    return _bytes(click.prompt(prompt, hide_input=True, err=True, confirmation_prompt="Once more"))


def _from_file(name: str) -> bytes:
    try:
        with Path(name).expanduser().open("rb") as file:
            return _line(file.readline(), f"the file {name}")
    except OSError as error:
        raise Unavailable(f"the passphrase file {name}: {error.strerror}", hint="Check the path.") from error


def printed(command: str, what: str) -> bytes:
    """The first line that a command prints; `what` names it in errors. Raises `Invalid` and `Unavailable`."""
    try:
        words = shlex.split(command)
        ran = subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=_SECONDS)
    except ValueError as error:
        raise Invalid(
            f"{what} is not a command: {error}",
            hint="It is split as a shell would, and run without one.",
        ) from error
    except (OSError, IndexError, subprocess.SubprocessError) as error:
        # Its words may hold secrets, and so may what it printed.
        told = f"exit {error.returncode}" if isinstance(error, subprocess.CalledProcessError) else type(error).__name__
        raise Unavailable(f"{what} failed ({told})", hint="Run it by hand; it is not run by a shell.") from None
    return _line(ran.stdout.partition(b"\n")[0], f"what {what} printed")


def _line(line: bytes, what: str) -> bytes:
    found = line.rstrip(b"\r\n")
    if not found:
        raise Invalid(f"there is no secret in {what}", hint="Its first line is used, and is empty.")
    return found


def _bytes(typed: str) -> bytes:
    return typed.encode("utf-8", "surrogateescape")
