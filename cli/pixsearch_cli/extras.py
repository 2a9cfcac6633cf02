"""What commands need beside the base of the install: the extra `train`."""

from __future__ import annotations

from importlib.util import find_spec

from pixsearch.errors import PixsearchError


def require(command: str, *packages: str) -> None:
    """Check that packages of the extra `train` are installed. Raises PixsearchError, which names the missing ones."""
    if missing := [name for name in packages if find_spec(name) is None]:
        raise PixsearchError(
            f"pixsearch {command} needs {', '.join(missing)}",
            "Install what it needs with: pip install 'pixsearch[train]'",
        )
