"""The user's config file: defaults for options, below the environment and the command line.

Its top level may set what means the same in every command, a table named like a command that command's options:

    library = "/mnt/photos/library"

    [query]
    top-k = 20
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from pixsearch.errors import PixsearchError, UsageError
from pixsearch.regular_files import read_regular
from pixsearch.settings import config_folder

EVERYWHERE = ("library", "model")
_LIMIT_BYTES = 1 << 20

Options = Mapping[str, frozenset[str]]
"""The options of each command, by the names of their parameters."""


def config_path() -> Path:
    return config_folder() / "config.toml"


def read_config(options: Options) -> dict[str, dict[str, object]]:
    """Defaults by command and parameter; nothing where there is no file.

    Raises UsageError for a file that is no TOML, or that sets what no command has.
    """
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
    defaults: dict[str, dict[str, object]] = {command: {} for command in options}
    for key, value in values.items():
        if isinstance(value, dict) and key in options:
            continue
        if key not in EVERYWHERE:
            raise UsageError(f"{path} sets {key!r}, which is nothing", f"At its top stand {' and '.join(EVERYWHERE)}")
        for command in options:
            if key in options[command]:
                defaults[command][key] = value
    for command, table in values.items():
        if command in options:
            for key, value in table.items():
                if (parameter := key.replace("-", "_")) not in options[command]:
                    raise UsageError(f"{path} sets {key!r} of {command}", f"See pixsearch {command} --help")
                defaults[command][parameter] = value
    return defaults
