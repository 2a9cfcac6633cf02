"""`pixsearch status`: what a library holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pixsearch.settings import library_folder
from pixsearch_cli.options import JsonOption, LibraryOption
from pixsearch_cli.output import print_json, printable

if TYPE_CHECKING:
    from pixsearch.library.records import Failure, LibraryStatus, RootStatus, RunStatus


def status(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Say what the library holds, and what it could not take in.

    For example: pixsearch status --json
    """
    from pixsearch import Library

    with Library.open(library_folder(library)) as opened:
        found, failures = opened.status(), opened.failures()
    if as_json:
        print_json(_record(found, failures))
    else:
        for line in _lines(found, failures):
            print(printable(line))


def _record(status: LibraryStatus, failures: list[Failure]) -> dict[str, object]:
    run = status.last_run
    return {
        "library": status.library,
        "model": status.model and status.model.name,
        "fingerprint": status.model and status.model.fingerprint,
        "roots": [
            {"path": root.path, "online": root.online, "photos": root.photos, **asdict(root.rules)}
            for root in status.roots
        ],
        "photos": status.photos,
        "contents": status.contents,
        "cut_short": status.cut_short,
        "texts": status.texts,
        "text_files": status.text_files,
        "failures": status.failures,
        "failed_files": [
            {"path": failure.path, "reason": failure.reason, "when": failure.when.isoformat()} for failure in failures
        ],
        "bytes": status.size_bytes,
        "database_bytes": status.database_bytes,
        "vectors_bytes": status.vectors_bytes,
        "last_run": run
        and {
            "started": run.started.isoformat(),
            "finished": run.finished and run.finished.isoformat(),
            "encoded": run.encoded,
            "failed": run.failed,
        },
    }


def _lines(status: LibraryStatus, failures: list[Failure]) -> list[str]:
    model = f"{status.model.name} ({status.model.fingerprint[:8]})" if status.model else "none yet"
    sizes = f"database {_size(status.database_bytes)}, vectors {_size(status.vectors_bytes)}"
    cut_short = f", {status.cut_short:,} cut short" if status.cut_short else ""
    lines = [
        f"library   {status.library} ({_size(status.size_bytes)}: {sizes})",
        f"model     {model}",
        f"photos    {status.photos:,} ({status.contents:,} different pictures{cut_short})",
        *([f"texts     {status.texts:,}"] if status.texts else []),
        f"last run  {_last_run(status.last_run)}",
        f"failures  {status.failures:,}",
    ]
    for root in status.roots:
        lines.append(f"folder    {root.path}: {root.photos:,} photos{_rules(root)}{'' if root.online else ', offline'}")
    lines += [f"texts of  {file}" for file in status.text_files]
    for failure in failures:
        lines.append(f"failed    {failure.path}: {failure.reason}")
    return lines


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _last_run(run: RunStatus | None) -> str:
    if run is None:
        return "none yet"
    began = f"{run.started.astimezone():%Y-%m-%d %H:%M}"
    if run.finished is None:
        return f"{began}, not finished: go on with pixsearch index"
    return f"{began}, {run.encoded:,} encoded, {run.failed:,} failed"


def _rules(root: RootStatus) -> str:
    words = [
        "hidden files too" if root.rules.hidden else "",
        "links followed" if root.rules.follow_links else "",
        f"without {' '.join(root.rules.exclude)}" if root.rules.exclude else "",
    ]
    return "".join(f", {word}" for word in words if word)
