"""`snap man`: manual pages, made from the commands themselves, one for each.

They say what `--help` says, in roff (man(7)): names, what may be given, what it does, options, an example.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from snap_cli.context import App, command
from snap_cli.render import plural
from snapstore.errors import Unavailable
from snapstore.repository.repository import PROGRAM

__all__ = ["man_command", "page"]


@command("man", example="snap man -o ~/.local/share/man/man1")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The folder to write them into.")
@click.pass_context
def man_command(context: click.Context, output: Path) -> None:
    """Write the manual pages: snap(1), and one for each command, such as snap-take(1)."""
    app: App = context.obj
    root = context.find_root()
    written = []
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, own in _all(root.command, "snap"):
            place = output / f"{name.replace(' ', '-')}.1"
            place.write_text(page(name, own), encoding="utf-8")
            written.append(str(place))
    except OSError as error:
        raise Unavailable(f"{output}: {error.strerror}", hint="Name a folder that can be written to.") from error
    if app.json:
        app.document({"pages": written})
    else:
        app.out(f"{plural(len(written), 'page')} in {output}; try: man {output}/snap.1")


def _all(own: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, own
    if isinstance(own, click.Group):
        for below in sorted(own.commands):
            yield from _all(own.commands[below], f"{name} {below}")


def page(name: str, own: click.Command) -> str:
    """The page of a command that is typed so, in roff."""
    context = click.Context(own, info_name=name)
    first, *more = (own.help or "").replace("\b\n", "").split("\n\n")
    title = name.replace(" ", "-")
    lines = [
        f'.TH {_said(title.upper())} 1 "" "{_said(PROGRAM)}" "snapstore"',
        ".SH NAME",
        f"{_said(title)} \\- {_said(' '.join(first.split()).rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_said(name)}",
        _line(" ".join(own.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        _line(" ".join(first.split())),
    ]
    for paragraph in more:
        lines += [".PP", _line(" ".join(paragraph.split()))]
    lines.append(".SH OPTIONS")
    for parameter in own.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            lines += [".TP", f".B {_said(record[0])}", _line(record[1])]
    if isinstance(own, click.Group):
        lines.append(".SH COMMANDS")
        for below in sorted(own.commands):
            lines += [".TP", f".B {_said(below)}", _line(own.commands[below].get_short_help_str(100))]
    if own.epilog:
        head, *shown = own.epilog.replace("\b\n", "").splitlines()
        lines += [f".SH {_said(head.strip(': ').upper())}", ".nf", *(_line(one) for one in shown), ".fi"]
    if name != "snap":
        lines += [".SH SEE ALSO", f".BR {_said(title.rpartition('-')[0])} (1)"]
    return "\n".join(lines) + "\n"


def _said(text: str) -> str:
    """The text as roff prints it: hyphens that can be copied, and nothing that roff would obey."""
    return text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")


def _line(text: str) -> str:
    told = _said(text.rstrip())
    return f"\\&{told}" if told.startswith((".", "'")) else told
