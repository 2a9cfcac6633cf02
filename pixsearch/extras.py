"""The extras of pixsearch: packages that only some of it needs, and how they are installed."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec

from pixsearch.errors import PixsearchError

OCR = ("ocr", "rapidocr")
"""The extra that reads text in pictures, and its package."""


def require(what: str, extra: str, *packages: str) -> None:
    """Check that packages of an extra are installed, without importing them. Raises PixsearchError where one is not."""
    if lacking := missing(*packages):
        raise PixsearchError(
            f"{what} needs {', '.join(lacking)}", f"Install it with: {pip('install', f'pixsearch[{extra}]')}"
        )


def missing(*packages: str) -> list[str]:
    """Return which packages are not installed, without importing them."""
    return [name for name in packages if find_spec(name) is None]


def pip(*arguments: str) -> str:
    """Return the command that has pip change this Python's packages, to be pasted into a shell."""
    return shlex.join([sys.executable, "-m", "pip", *arguments])
