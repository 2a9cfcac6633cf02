"""Optional dependencies (extras) and the commands to install them."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec

from pixsearch.errors import PixsearchError

OCR = ("ocr", "rapidocr")
"""The extra for reading text in pictures, and its package."""


def require(what: str, extra: str, *packages: str) -> None:
    """Raise PixsearchError if any package of an extra is not installed. The packages are not imported."""
    if lacking := missing(*packages):
        raise PixsearchError(
            f"{what} needs {', '.join(lacking)}", f"Install it with: {pip('install', f'pixsearch[{extra}]')}"
        )


def missing(*packages: str) -> list[str]:
    """Return the packages that are not installed. Nothing is imported."""
    return [name for name in packages if find_spec(name) is None]


def pip(*arguments: str) -> str:
    """Return a shell command that runs pip for this Python interpreter."""
    return shlex.join([sys.executable, "-m", "pip", *arguments])
