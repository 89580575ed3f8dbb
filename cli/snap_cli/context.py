"""What every command shares: its options, the repository it works on, and where its words go.

    @command("list", example="snap list --json")
    @click.pass_obj
    def list_command(app: App) -> None:
        app.out(...)

Data goes to stdout, everything else to stderr. Where options, the environment and snap.toml say the same kind of thing,
their order is decided here; what only the environment says is in `snap_cli.environment`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click

from snap_cli import passphrases
from snap_cli.dated import tell_future
from snap_cli.environment import Environment
from snap_cli.errors import MISUSE, NoRepository, secrets_in
from snap_cli.expanding import expand, with_password
from snap_cli.progress import watched
from snap_cli.render import jsonable, paint, safe
from snap_cli.settings import FILE, NamedSource, Settings, read_settings
from snap_cli.sizes import SIZE, size_of
from snapstore.backends import Backend
from snapstore.backends.places import backend_of, holds_something, is_private, is_url, shown
from snapstore.backends.throttled import ThrottledBackend
from snapstore.errors import NotFound, Unavailable
from snapstore.operations.capture import Progress
from snapstore.repository import Repository, Snapshot, resolve
from snapstore.repository.keyring import Passphrase
from snapstore.seal import PLAIN

__all__ = ["App", "command", "common_options", "group", "passphrase_options", "show_help_without_command"]

_DEFAULT_REPOSITORY = ".snapstore"
_COMMON = (
    "repo", "passphrase_file", "passphrase_command", "no_cache", "limit_upload", "trust", "json", "quiet", "verbose",
)  # fmt: skip

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class App(Environment):
    """One run of the program. Its fields are the options that every command has."""

    repo: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: int = 0
    passphrase_file: str | None = None
    passphrase_command: str | None = None
    trust: bool = False
    secrets: list[str] = field(default_factory=list)
    no_cache: bool = False
    limit_upload: int | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)
    _settings: Settings | None = None
    _urls: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """What the nearest snap.toml says."""
        if self._settings is None:
            self._settings = read_settings(Path.cwd())
        return self._settings

    @property
    def place(self) -> str:
        """Where the repository is or would be: -r, SNAP_REPO, snap.toml, ./.snapstore."""
        return self.place_from[0]

    @property
    def place_from(self) -> tuple[str, str]:
        """`place`, and what it comes from in words."""
        if self.repo:
            return self.repo, "-r"
        if found := os.environ.get("SNAP_REPO"):
            return found, "SNAP_REPO"
        if self.settings.repository:
            return self.expanded(self.settings.repository), FILE
        return _DEFAULT_REPOSITORY, "default"

    def expanded(self, text: str) -> str:
        """The text of snap.toml with `${NAME}` replaced from the environment. Raises `Invalid` for one that is not set.

        A password that comes in this way is struck out of errors.
        """
        found = expand(text, os.environ)
        self.secrets += secrets_in([found])
        return found

    def secret(self, text: str) -> str:
        """As `expanded`, of a text that is a secret as a whole."""
        found = self.expanded(text)
        self.secrets.append(found)
        return found

    def url_of(self, named: NamedSource) -> str:
        """The URL that opens a source of snap.toml, with its password: never to be shown."""
        if named.name not in self._urls:
            url = self.expanded(named.url)
            if named.password_command is not None:
                password = passphrases.printed(named.password_command, f"the password command of {named.name}")
                text = password.decode("utf-8", "surrogateescape")
                self.secrets += [text, quote(text, safe="")]
                url = with_password(url, text)
            self.secrets += secrets_in([url])
            self._urls[named.name] = url
        return self._urls[named.name]

    @property
    def is_debugging(self) -> bool:
        """Whether tracebacks are wanted."""
        return self.verbose >= 2 or bool(os.environ.get("SNAP_DEBUG"))

    @property
    def passphrase_from(self) -> tuple[str, str | None]:
        """What says where the passphrase is (an option, a variable, snap.toml, `default`: asked), and what it says."""
        for option, value in (("file", self.passphrase_file), ("command", self.passphrase_command)):
            if value:
                return f"--passphrase-{option}", value
        if os.environ.get(passphrases.VARIABLE):
            return passphrases.VARIABLE, None
        for suffix in ("_FILE", "_COMMAND"):
            if value := os.environ.get(passphrases.VARIABLE + suffix):
                return passphrases.VARIABLE + suffix, value
        found = self.settings.passphrase_file or self.settings.passphrase_command
        return (FILE, found) if found else ("default", None)

    @property
    def passphrase(self) -> Passphrase:
        """The passphrase that was given somewhere: options, environment, snap.toml, in this order; or what asks."""
        given = passphrases.given(self.passphrase_file, self.passphrase_command)
        if given is None:
            given = passphrases.given_in(os.environ)
        if given is None:
            file, command = self.settings.passphrase_file, self.settings.passphrase_command
            given = passphrases.given(None if file is None else self.expanded(file), command)
        return given if given is not None else partial(passphrases.asked, self.is_interactive, "Passphrase")

    def new_passphrase(self) -> bytes:
        """The passphrase of a new repository: the one that was given, or asked for twice."""
        given = self.passphrase
        return given if isinstance(given, bytes) else passphrases.chosen(self.is_interactive, "New passphrase")

    def repository(self) -> Repository:
        """The open repository. Raises `NoRepository` where there is none, `WrongKey` where no passphrase opens it."""
        hint = ", or name one with -r or SNAP_REPO" if self.repo is None and self.place == _DEFAULT_REPOSITORY else ""
        return self._opened(self.place, self.passphrase, hint)

    def other_repository(self, place: str, side: str, file: str | None, command: str | None) -> Repository:
        """Another repository beside the common one, the `side` of it ("to" or "from") saying what its options and
        variables are called. Raises as `repository`.
        """
        return self._opened(place, self.other_passphrase(place, side, file, command))

    def other_passphrase(self, place: str, side: str, file: str | None, command: str | None) -> Passphrase:
        """The passphrase of another repository, as `other_repository` finds it, or what asks."""
        given = passphrases.given(file, command)
        if given is None:
            given = passphrases.given_in(os.environ, side)
        asked = partial(passphrases.asked, self.is_interactive, f"Passphrase of {shown(place)}", side)
        return given if given is not None else asked

    def _opened(self, place: str, passphrase: Passphrase, hint: str = "") -> Repository:
        try:
            # A folder is as near as a cache would be.
            cache = self.cache_folder if is_url(place) and not self.no_cache else None
            return Repository.open(
                self.limited(backend_of(place, allow_http=self.allows_http)), passphrase, cache=cache
            )
        except NotFound as error:
            if holds_something(place):  # which is no place for a new one: the error says what is missing
                raise NoRepository(error.message, hint=error.hint) from error
            raise NoRepository(
                f"there is no repository in {shown(place)}", hint=f"Make one with `snap init`{hint}."
            ) from error
        except OSError as error:
            raise Unavailable(
                f"{place}: {error.strerror or error}", hint="Check the path and who may read it."
            ) from error

    def trusts(self, repository: Repository) -> bool:
        """Whether what the repository says may be acted on, and not only put back as rows: only this user can have
        written it, or somebody with a key, or --trust was given (docs/security.md).
        """
        return self.trust or repository.seal is not PLAIN or (not is_url(self.place) and is_private(self.place))

    def limited(self, backend: Backend) -> Backend:
        """The backend, written to no faster than --limit-upload or SNAP_LIMIT_UPLOAD allows."""
        text = os.environ.get("SNAP_LIMIT_UPLOAD")
        limit = self.limit_upload or (size_of(text, "SNAP_LIMIT_UPLOAD") if text else 0)
        return ThrottledBackend(backend, bytes_per_second=limit) if limit else backend

    def snapshot(self, repository: Repository, name: str) -> Snapshot:
        """The snapshot of this name."""
        found = resolve(repository.snapshots(), name)
        for told in tell_future(found):
            self.warn(told)
        return found

    def out(self, text: str = "") -> None:
        """A line of data."""
        click.echo(safe(text), color=_color(sys.stdout))

    def document(self, value: Any) -> None:
        """The one JSON document."""
        click.echo(json.dumps(jsonable(value), indent=2))

    def result(self, document: Mapping[str, Any]) -> None:
        """What came of the command: the document with --json, and what hooks and notices are given."""
        self.outcome = document
        if self.json:
            self.document(document)

    def say(self, text: str) -> None:
        """A remark, unless -q is given."""
        if not self.quiet:
            self.err(text)

    def warn(self, text: str) -> None:
        """What must not be missed."""
        self.err(f"{paint('warning:', 'yellow')} {text}")

    def warn_unprotected(self, location: str) -> None:
        """That gc did not wait for who read there."""
        told = "a gc that others run there would not have waited for this (it would have been said)"
        self.warn(f"nothing may be written in {location}: {told}")

    def err(self, text: str) -> None:
        """A line for people, beside the data."""
        click.echo(safe(text), err=True, color=_color(sys.stderr))

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A bar, if a person watches."""
        shown = not self.quiet and not self.json and sys.stderr.isatty()
        with watched(shown, is_plain="NO_COLOR" in os.environ) as progress:
            yield progress


def _color(stream: Any) -> bool:
    # no-color.org: present and not empty.
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        app = context.ensure_object(App)
        if value and name == "verbose":
            app.verbose += value
            logging.basicConfig(level=logging.DEBUG if app.verbose > 1 else logging.INFO, stream=sys.stderr)
        elif value:
            setattr(app, name, value)

    return keep


def common_options(function: Function) -> Function:
    """The options that every command has, and `snap` itself: they may stand before or after the command."""
    for decorate in reversed(
        [
            click.option("-r", "--repo", metavar="PATH", expose_value=False, callback=_set("repo"),
                         help="The repository, a folder or s3://, gs://, az:// [SNAP_REPO, snap.toml, ./.snapstore]."),
            click.option("--passphrase-file", metavar="FILE", expose_value=False, callback=_set("passphrase_file"),
                         help="Its first line opens an encrypted repository [SNAP_PASSPHRASE_FILE]."),
            click.option("--passphrase-command", metavar="COMMAND", expose_value=False,
                         callback=_set("passphrase_command"),
                         help="The first line it prints does [SNAP_PASSPHRASE_COMMAND; SNAP_PASSPHRASE]."),
            click.option("--no-cache", is_flag=True, expose_value=False, callback=_set("no_cache"),
                         help="Keep nothing of a bucket on this machine [SNAP_CACHE: where]."),
            click.option("--limit-upload", type=SIZE, metavar="SIZE", expose_value=False, callback=_set("limit_upload"),
                         help="Write so many bytes a second at most, as in 2MB [SNAP_LIMIT_UPLOAD]."),
            click.option("--trust", is_flag=True, expose_value=False, callback=_set("trust"),
                         help="Believe a plain repository that others can write to: run its SQL, connect as it says."),
            click.option("--json", is_flag=True, expose_value=False, callback=_set("json"),
                         help="One JSON document on stdout; errors as JSON on stderr."),
            click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=_set("quiet"),
                         help="Only data, warnings and errors."),
            click.option("-v", "--verbose", count=True, expose_value=False, callback=_set("verbose"),
                         help="Say more; -vv shows tracebacks."),
        ]
    ):  # fmt: skip
        function = decorate(function)
    return function


def passphrase_options(side: str, what: str) -> Callable[[Function], Function]:
    """The options that `App.other_repository` is given for the `side` of another repository; `what` they open."""
    variable = f"SNAP_{side.upper()}_PASSPHRASE"
    file = click.option(
        f"--{side}-passphrase-file", metavar="FILE", help=f"Its first line opens {what} [{variable}_FILE]."
    )
    command = click.option(
        f"--{side}-passphrase-command",
        metavar="COMMAND",
        help=f"The first line it prints does [{variable}_COMMAND; {variable}].",
    )
    return lambda function: file(command(function))


def show_help_without_command(context: click.Context) -> None:
    """End a group that was called without a command of its own: help for people, an error for programs."""
    app: App = context.obj
    if context.invoked_subcommand is not None:
        return
    if app.json:
        raise click.UsageError("a command is missing", context)
    app.err(context.get_help())
    context.exit(MISUSE)


def command(
    name: str, *, example: str, cls: type[click.Command] = click.Command
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with the common options, whose help ends with an example (several lines if need be)."""

    def make(function: Callable[..., Any]) -> click.Command:
        decorated = common_options(function)
        made = click.command(name, cls=cls, **_helpful(example))(decorated)
        # In its help a command's own options come first.
        made.params.sort(key=lambda parameter: parameter.name in _COMMON)
        return made

    return make


def group(name: str, told: str, *, example: str, heading: str = "Example") -> click.Group:
    """A command that only has others beneath it, which are to be added; alone it shows this help."""
    decorated = common_options(click.pass_context(show_help_without_command))
    helpful = _helpful(example, heading)
    return click.group(name, cls=click.Group, help=told, invoke_without_command=True, **helpful)(decorated)


def _helpful(example: str, heading: str = "Example") -> dict[str, Any]:
    shown = "\n".join(f"  {line}" for line in example.splitlines())
    # The settings are each command's own: some add to them.
    return {"epilog": f"\b\n{heading}:\n{shown}", "context_settings": {"help_option_names": ["-h", "--help"]}}
