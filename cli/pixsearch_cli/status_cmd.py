"""`pixsearch status`: show what is in a library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixsearch.printable import plural, printable, without_passwords
from pixsearch.settings import library_location
from pixsearch_cli.index_cmd import unfinished
from pixsearch_cli.json_records import status_record
from pixsearch_cli.options import JsonOption, LibraryOption
from pixsearch_cli.output import kinds, print_json, show_message

if TYPE_CHECKING:
    from pixsearch.library.records import Failure, LibraryStatus, Note, RootStatus, RunStatus


def status(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Show library statistics and unreadable files.

    For example: pixsearch status --json
    """
    from pixsearch import Library

    with Library.open(library_location(library), show_message) as opened:
        found, failures, notes = opened.status(), opened.failures(), opened.notes()
    if as_json:
        print_json(status_record(found, failures, notes))
    else:
        for line in _lines(found, failures, notes):
            print(printable(line))


def _lines(status: LibraryStatus, failures: list[Failure], notes: list[Note]) -> list[str]:
    model = f"{status.model.name} ({status.model.fingerprint[:8]})" if status.model else "none yet"
    sizes = f"database {size(status.database_bytes)}, vectors {size(status.vectors_bytes)}"
    cut_short = f", {status.cut_short:,} truncated" if status.cut_short else ""
    lines = [
        f"library   {status.library} ({size(status.size_bytes)}: {sizes})",
        f"model     {model}",
        *([f"switch    {unfinished(status.switch)}"] if status.switch else []),
        f"photos    {status.photos:,} ({status.contents:,} different pictures{cut_short})",
        *([f"texts     {status.texts:,}"] if status.texts else []),
        *([f"vectors   {without_passwords(status.vectors)}, {status.pending:,} pending"] if status.vectors else []),
        f"last run  {last_run(status.last_run)}",
        f"failures  {status.failures:,}",
    ]
    for root in status.roots:
        lines.append(
            f"folder    {root.path}: {plural(root.photos, 'photo')}{rules(root)}{'' if root.online else ', offline'}"
        )
        if root.not_read:
            lines.append(f"not read  {kinds(root.not_read)}")
    lines += [f"text file {file}" for file in status.text_files]
    for failure in failures:
        lines.append(f"failed    {failure.path}: {failure.reason}")
    for note in notes:
        lines.append(f"note      {note.path}: {note.note}")
    return lines


def size(size_bytes: int) -> str:
    return f"{size_bytes / 1e3:,.0f} kB" if size_bytes < 1e6 else f"{size_bytes / 1e6:,.1f} MB"


def last_run(run: RunStatus | None) -> str:
    if run is None:
        return "none yet"
    began = f"{run.started.astimezone():%Y-%m-%d %H:%M}"
    if run.finished is None:
        return f"{began}, not finished; to continue, run pixsearch index"
    return f"{began}, {run.encoded:,} encoded, {run.failed:,} failed"


def rules(root: RootStatus) -> str:
    words = [
        "with hidden files" if root.rules.hidden else "",
        "links followed" if root.rules.follow_links else "",
        f"without {' '.join(root.rules.exclude)}" if root.rules.exclude else "",
        _reading(root.unread) if root.rules.ocr else "",
    ]
    return "".join(f", {word}" for word in words if word)


def _reading(unread: int) -> str:
    if unread == 0:
        return "read for text"
    return f"{plural(unread, 'picture')} not yet read for text"
