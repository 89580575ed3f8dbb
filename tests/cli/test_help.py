"""Every command explains itself, with an example, within 100 columns."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from snap_cli.main import _ALIASES, _COMMANDS, cli


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(cli))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help_with_an_example_and_the_common_options(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*path, "--help"], prog_name="snap")
    assert result.exit_code == 0
    assert f"snap {path[0]}" in result.stdout.partition("Example")[2]
    assert max(map(len, result.stdout.splitlines())) <= 100
    for option in ("--repo", "--json", "--quiet", "--verbose"):
        assert option in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    for parameter in ALL[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_aliases_mean_commands_that_are_there() -> None:
    assert set(_ALIASES.values()) <= set(cli.commands)


def test_the_version_is_shown() -> None:
    result = CliRunner().invoke(cli, ["--version"], prog_name="snap")
    assert result.exit_code == 0
    assert result.stdout.startswith("snap, version 0.")


def test_the_list_of_commands_says_what_their_help_says() -> None:
    assert {name: told for name, (_, told) in _COMMANDS.items()} == {
        name: command.get_short_help_str(1000) for name, command in cli.commands.items()
    }
