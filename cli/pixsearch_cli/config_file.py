"""The user's config file: defaults for options, which the environment and the command line override.

The top level sets the options that all commands share. A table named after a command sets the options of that command:

    library = "/mnt/photos/library"

    [query]
    top-k = 20
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup, TyperOption

from pixsearch.errors import PixsearchError, UsageError
from pixsearch.regular_files import read_regular
from pixsearch.settings import config_folder

if TYPE_CHECKING:
    from typer._click.core import Command, Parameter

EVERYWHERE = ("library", "model")
_LIMIT_BYTES = 1 << 20


def config_path() -> Path:
    return config_folder() / "config.toml"


def leaf_commands(commands: Mapping[str, Command]) -> dict[str, Command]:
    """Return all commands by name. The name of a command in a group includes the group, as in "model get"."""
    leaves: dict[str, Command] = {}
    for name, command in commands.items():
        if isinstance(command, TyperGroup):
            leaves |= {f"{name} {inner}": leaf for inner, leaf in leaf_commands(command.commands).items()}
        else:
            leaves[name] = command
    return leaves


def read_config(commands: Mapping[str, Command]) -> dict[str, dict[str, object]]:
    """Return the defaults in the config file, keyed by command name (as in `leaf_commands`) and parameter name.

    Return no defaults if there is no file or PIXSEARCH_NO_CONFIG is set.

    Raises UsageError if the file is not valid TOML, or if it contains an unknown key or an invalid value.
    """
    if os.environ.get("PIXSEARCH_NO_CONFIG"):
        return {}
    try:
        path = config_path()
    except (
        PixsearchError
    ):  # without a home directory there is no config file; commands that need the directory raise the error
        return {}
    try:
        text = read_regular(path, _LIMIT_BYTES).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read: {error}", "Fix or remove it") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "Fix or remove it") from error
    try:
        values = tomllib.loads(text)
    except (
        ValueError,
        RecursionError,
    ) as error:  # includes TOMLDecodeError, and the error for an integer with 5,000 digits
        raise UsageError(f"{path} is not valid TOML: {error}", "Fix or remove it") from error
    parameters = {name: {key_of(one): one for one in command.params} for name, command in commands.items()}
    defaults: dict[str, dict[str, object]] = {command: {} for command in commands}
    for key, value in values.items():
        if isinstance(value, dict) and key in commands:
            continue
        if key not in EVERYWHERE:
            raise UsageError(
                f"{path} sets the unknown key {key!r}", f"Valid keys outside a table: {', '.join(EVERYWHERE)}"
            )
        for command in commands:
            if key in parameters[command]:
                defaults[command][key] = value
    for command, table in values.items():
        if command in commands:
            for key, value in table.items():
                if (option := key.replace("_", "-")) not in parameters[command]:
                    raise UsageError(
                        f"{path} sets the unknown option {key!r} for {command}", f"See pixsearch {command} --help"
                    )
                defaults[command][option] = value
    for command, options in defaults.items():
        for key, value in options.items():
            if (reason := _problem(commands[command], parameters[command][key], value)) is not None:
                raise UsageError(
                    f"{path} sets {key!r} for {command} to {value!r}: {reason}", f"See pixsearch {command} --help"
                )
    return {
        command: {parameters[command][key].name: value for key, value in options.items()}
        for command, options in defaults.items()
    }


def nested(defaults: Mapping[str, Mapping[str, object]]) -> dict[str, Any]:
    """Return the defaults as click expects them: the defaults of a command in a group are nested in the group's."""
    maps: dict[str, Any] = {}
    for command, options in defaults.items():
        *groups, name = command.split()
        within = maps
        for group in groups:
            within = within.setdefault(group, {})
        within[name] = dict(options)
    return maps


def key_of(parameter: Parameter) -> str:
    """Return the key of a parameter in the file: its option without the leading dashes, or the name of its argument."""
    return max(parameter.opts, key=len).lstrip("-").replace("_", "-")


def _problem(command: Command, parameter: Parameter, value: object) -> str | None:
    """Return why a value in the file is not valid for a parameter, or None if it is."""
    is_flag = isinstance(parameter, TyperOption) and parameter.is_flag
    is_list = parameter.nargs == -1 or (isinstance(parameter, TyperOption) and parameter.multiple)
    if is_list != isinstance(value, list):
        return "expected a list" if is_list else "expected a single value"
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict | list) or is_flag != isinstance(one, bool):
            return "expected true or false" if is_flag else "expected text or a number"
        if isinstance(one, float) and not math.isfinite(one):
            return "expected a finite number"
    try:
        parameter.process_value(typer.Context(command), value)
    except typer.BadParameter as error:
        return error.message.removeprefix("Value error, ").rstrip(".")
    return None
