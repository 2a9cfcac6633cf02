"""The user's config file: defaults for options, below the environment and the command line.

Its top level may set what means the same in every command, a table named like a command that command's options:

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
    """Return commands by name, those of a group by both names: "model get"."""
    leaves: dict[str, Command] = {}
    for name, command in commands.items():
        if isinstance(command, TyperGroup):
            leaves |= {f"{name} {inner}": leaf for inner, leaf in leaf_commands(command.commands).items()}
        else:
            leaves[name] = command
    return leaves


def read_config(commands: Mapping[str, Command]) -> dict[str, dict[str, object]]:
    """Read the defaults, by command (as `leaf_commands` names it) and parameter.

    There are none without a file, and where PIXSEARCH_NO_CONFIG is set.

    Raises UsageError for a file that is no TOML, or that sets what no command has, or to what it cannot be.
    """
    if os.environ.get("PIXSEARCH_NO_CONFIG"):
        return {}
    try:
        path = config_path()
    except PixsearchError:  # who has no home directory has no file there; commands that need one will say so
        return {}
    try:
        text = read_regular(path, _LIMIT_BYTES).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read: {error}", "Mend it, or move it away") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "Mend it, or move it away") from error
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError among them, and a number of 5,000 digits
        raise UsageError(f"{path} is no TOML: {error}", "Mend it, or move it away") from error
    parameters = {name: {key_of(one): one for one in command.params} for name, command in commands.items()}
    defaults: dict[str, dict[str, object]] = {command: {} for command in commands}
    for key, value in values.items():
        if isinstance(value, dict) and key in commands:
            continue
        if key not in EVERYWHERE:
            raise UsageError(f"{path} sets {key!r}, which is nothing", f"At its top stand {' and '.join(EVERYWHERE)}")
        for command in commands:
            if key in parameters[command]:
                defaults[command][key] = value
    for command, table in values.items():
        if command in commands:
            for key, value in table.items():
                if (option := key.replace("_", "-")) not in parameters[command]:
                    raise UsageError(f"{path} sets {key!r} of {command}", f"See pixsearch {command} --help")
                defaults[command][option] = value
    for command, options in defaults.items():
        for key, value in options.items():
            if (reason := _problem(commands[command], parameters[command][key], value)) is not None:
                raise UsageError(
                    f"{path} sets {key!r} of {command} to {value!r}: {reason}", f"See pixsearch {command} --help"
                )
    return {
        command: {parameters[command][key].name: value for key, value in options.items()}
        for command, options in defaults.items()
    }


def nested(defaults: Mapping[str, Mapping[str, object]]) -> dict[str, Any]:
    """Return defaults by command as click takes them: those of a group's command in the group's."""
    maps: dict[str, Any] = {}
    for command, options in defaults.items():
        *groups, name = command.split()
        within = maps
        for group in groups:
            within = within.setdefault(group, {})
        within[name] = dict(options)
    return maps


def key_of(parameter: Parameter) -> str:
    """Return how the file names a parameter: as its option without the dashes, or as its argument."""
    return max(parameter.opts, key=len).lstrip("-").replace("_", "-")


def _problem(command: Command, parameter: Parameter, value: object) -> str | None:
    """Say why a parameter cannot have a value of the file; None where it can."""
    is_flag = isinstance(parameter, TyperOption) and parameter.is_flag
    is_list = parameter.nargs == -1 or (isinstance(parameter, TyperOption) and parameter.multiple)
    if is_list != isinstance(value, list):
        return "a list is needed" if is_list else "one value is needed"
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict | list) or is_flag != isinstance(one, bool):
            return "true or false is needed" if is_flag else "text or a number is needed"
        if isinstance(one, float) and not math.isfinite(one):
            return "a finite number is needed"
    try:
        parameter.process_value(typer.Context(command), value)
    except typer.BadParameter as error:
        return error.message.removeprefix("Value error, ").rstrip(".")
    return None
