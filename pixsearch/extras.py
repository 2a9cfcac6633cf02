"""The extras of pixsearch: optional packages and the commands that install them."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec

from pixsearch.errors import PixsearchError

OCR = ("ocr", "rapidocr")
"""The extra that reads text in pictures, and its package."""


def require(what: str, extra: str, *packages: str) -> None:
    """Check that the packages of an extra are installed, without importing them. Raises PixsearchError if not."""
    if lacking := missing(*packages):
        raise PixsearchError(
            f"{what} needs {', '.join(lacking)}", f"Install it with: {pip('install', f'pixsearch[{extra}]')}"
        )


def missing(*packages: str) -> list[str]:
    """Return the packages that are not installed, without importing them."""
    return [name for name in packages if find_spec(name) is None]


def pip(*arguments: str) -> str:
    """Return a pip command for this Python's packages, to be pasted into a shell."""
    return shlex.join([sys.executable, "-m", "pip", *arguments])
