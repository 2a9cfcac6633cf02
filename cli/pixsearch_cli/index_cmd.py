"""`pixsearch index`: bring folders of photos into a library."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.errors import LibraryNotFound
from pixsearch.settings import library_folder
from pixsearch_cli.checkpoint import checkpoint_for
from pixsearch_cli.options import JsonOption, LibraryOption, ModelOption
from pixsearch_cli.output import print_json, progress_bars, say

if TYPE_CHECKING:
    from pixsearch.library.records import Failure, LibraryModel
    from pixsearch_indexer import IndexReport

NOT_ALL_DONE = 1


def index(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDERS]...", help="Folders of photos; without any, all that the library knows."),
    ] = None,
    library: LibraryOption = None,
    model: ModelOption = None,
    switch_model: Annotated[
        bool, typer.Option("--switch-model", help="Encode all again where another model indexed the library.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring folders of photos into the library.

    For example: pixsearch index ~/Pictures

    Only what is new or changed since the last time is read. Photos are never written to. Exit code 1: some files or
    folders could not be read; each is listed with its reason, and all others are in.
    """
    report, failures = _index(folders or [], library_folder(library), model, switch_model)
    for failure in failures:
        say(f"{failure.path}: {failure.reason}")
    for folder in report.offline:
        say(f"{folder} is not there or empty; its photos stay in the library")
    if as_json:
        print_json(_record(report))
    else:
        print(_summary(report))
    if failures or report.offline:
        raise typer.Exit(NOT_ALL_DONE)


def _index(
    folders: list[Path], folder: Path, model: str | None, switch_model: bool
) -> tuple[IndexReport, list[Failure]]:
    checkpoint = checkpoint_for(model, _indexed_with(folder))
    # Only now: a name that is no model's need not wait for torch.
    from pixsearch import Library
    from pixsearch.model.runtime import PixelBertRuntime
    from pixsearch_indexer import index_folders

    runtime = PixelBertRuntime(checkpoint)
    with Library.create(folder) if folders else Library.open(folder) as library:
        with progress_bars() as show:
            report = index_folders(library, runtime, folders, show, switch_model=switch_model)
        return report, _below(folders, library.failures())


def _indexed_with(folder: Path) -> LibraryModel | None:
    """The model of the library there, if there is one already; a mistake in --model must not make an empty one."""
    from pixsearch import Library

    with suppress(LibraryNotFound), Library.open(folder) as library:
        return library.model()
    return None


def _below(folders: list[Path], failures: list[Failure]) -> list[Failure]:
    """The failures in these folders; all of them without any."""
    roots = [folder.expanduser().resolve() for folder in folders]
    return [failure for failure in failures if not roots or any(failure.path.is_relative_to(root) for root in roots)]


def _record(report: IndexReport) -> dict[str, object]:
    return {
        "found": report.found,
        "unchanged": report.unchanged,
        "encoded": report.encoded,
        "reused": report.reused,
        "forgotten": report.forgotten,
        "failed": report.failed,
        "offline": report.offline,
    }


def _summary(report: IndexReport) -> str:
    parts = [f"{report.encoded:,} encoded" if report.encoded else "nothing encoded", f"{report.unchanged:,} unchanged"]
    if report.reused:
        parts.append(f"{report.reused:,} known by their content")
    if report.forgotten:
        parts.append(f"{report.forgotten:,} forgotten")
    parts.append(f"{report.failed:,} failed")
    return f"{report.found:,} photos: {', '.join(parts)}"
