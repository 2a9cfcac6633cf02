"""`pixsearch config`: show the settings and where they come from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import typer
from typer.core import TyperGroup

from pixsearch.printable import without_passwords
from pixsearch.settings import library_location
from pixsearch_cli.config_file import EVERYWHERE, config_path, key_of, leaf_commands, read_config
from pixsearch_cli.options import JsonOption
from pixsearch_cli.output import print_json, print_table


class Setting(NamedTuple):
    command: str
    """Empty for an option that all commands share."""
    option: str
    value: object
    source: str


def config(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show which defaults the config file and the environment set.

    For example: pixsearch config

    The command line takes precedence over the environment (PIXSEARCH_LIBRARY, PIXSEARCH_MODEL), and the environment
    over the file.
    """
    settings = list(_settings(context))
    if as_json:
        print_json({"file": config_path(), "settings": [setting._asdict() for setting in settings]})
        return
    there = "" if config_path().is_file() else " (not found)"
    print(f"{config_path()}{there}")
    rows = [
        [setting.command or "all", f"--{setting.option}", str(setting.value), f"from {setting.source}"]
        for setting in settings
    ]
    print_table(["command", "option", "value", "set by"], rows)


def _settings(context: typer.Context) -> Iterator[Setting]:
    assert context.parent is not None, "it is a command of pixsearch"
    assert isinstance(context.parent.command, TyperGroup), "it has commands"
    commands = leaf_commands(context.parent.command.commands)
    file = read_config(commands)
    defaults = {"library": library_location(), "model": "the library's model, or the built-in one"}
    for option in EVERYWHERE:
        in_file = next((values[option] for values in file.values() if option in values), None)
        if named := os.environ.get(variable := f"PIXSEARCH_{option.upper()}"):
            yield Setting("", option, without_passwords(named), f"the environment ({variable})")
        elif in_file is not None:
            yield Setting("", option, _shown(in_file), "the config file")
        else:
            yield Setting("", option, defaults[option], "default")
    for command, values in sorted(file.items()):
        keys = {parameter.name: key_of(parameter) for parameter in commands[command].params}
        for name, value in values.items():
            if name not in EVERYWHERE:
                yield Setting(command, keys[name], _shown(value), "the config file")


def _shown(value: object) -> object:
    return without_passwords(value) if isinstance(value, str) else value
