"""`pixsearch status`: what a library holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixsearch.settings import library_folder
from pixsearch_cli.options import JsonOption, LibraryOption
from pixsearch_cli.output import print_json, printable

if TYPE_CHECKING:
    from pixsearch.library.records import LibraryStatus


def status(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Say what the library holds."""
    from pixsearch import Library

    with Library.open(library_folder(library)) as opened:
        found = opened.status()
    if as_json:
        print_json(_record(found))
    else:
        for line in _lines(found):
            print(printable(line))


def _record(status: LibraryStatus) -> dict[str, object]:
    return {
        "library": status.library,
        "model": status.model and status.model.name,
        "fingerprint": status.model and status.model.fingerprint,
        "roots": [{"path": root.path, "online": root.online, "photos": root.photos} for root in status.roots],
        "photos": status.photos,
        "contents": status.contents,
        "failures": status.failures,
        "bytes": status.size_bytes,
    }


def _lines(status: LibraryStatus) -> list[str]:
    model = f"{status.model.name} ({status.model.fingerprint[:8]})" if status.model else "none yet"
    lines = [
        f"library   {status.library} ({status.size_bytes / 1e6:,.1f} MB)",
        f"model     {model}",
        f"photos    {status.photos:,} ({status.contents:,} different pictures)",
        f"failures  {status.failures:,}",
    ]
    for root in status.roots:
        lines.append(f"folder    {root.path}: {root.photos:,} photos{'' if root.online else ', offline'}")
    return lines
