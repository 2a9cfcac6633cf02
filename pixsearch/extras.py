"""The extras of pixsearch: packages that only some of it needs, and how they are installed."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec

from pixsearch.errors import PixsearchError


def require(what: str, extra: str, *packages: str) -> None:
    """Check that packages of an extra are installed, without importing them. Raises PixsearchError where one is not."""
    if missing := [name for name in packages if find_spec(name) is None]:
        raise PixsearchError(
            f"{what} needs {', '.join(missing)}", f"Install it with: {pip('install', f'pixsearch[{extra}]')}"
        )


def pip(*arguments: str) -> str:
    """Return the command that has pip change this Python's packages, to be pasted into a shell."""
    return shlex.join([sys.executable, "-m", "pip", *arguments])
