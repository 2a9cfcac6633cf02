"""`pixsearch verify` and `pixsearch repair`: check a library for errors, and repair it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.errors import LibraryDamaged
from pixsearch.printable import plural, printable
from pixsearch.settings import library_location
from pixsearch_cli.options import JsonOption, LibraryOption
from pixsearch_cli.output import print_json, progress_bars, show_message

if TYPE_CHECKING:
    from pixsearch.library.checks import Findings

NOT_SOUND = 1

DeepOption = Annotated[bool, typer.Option("--deep", help="Read every photo and compare it with the index.")]


def verify(deep: DeepOption = False, library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Check the library for errors, without changing it.

    For example: pixsearch verify --deep

    Exit code 1: there are problems. Each is listed on its own line. pixsearch repair fixes the ones that can be fixed.
    """
    from pixsearch import Library
    from pixsearch_indexer.verify import verify as check

    with Library.open(library_location(library), show_message) as opened, progress_bars() as show:
        findings = check(opened, deep=deep, on_progress=show)
    if as_json:
        print_json(
            {
                "photos": findings.photos,
                "problems": findings.problems,
                "notes": findings.notes,
                "stale": findings.stale,
            }
        )
    else:
        for problem in findings.problems:
            print(printable(problem))
        for note in findings.notes:
            print(printable(f"note: {note}"))
        print(_summary(findings))
    if findings.problems:
        raise typer.Exit(NOT_SOUND)


def repair(deep: DeepOption = False, library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Repair the library: rebuild derived data, and remove damaged entries. Photos are never modified.

    For example: pixsearch repair

    Run pixsearch index afterwards to encode the affected photos again.
    """
    from pixsearch import Library
    from pixsearch_indexer.verify import repair as repair_library

    location = library_location(library)
    kept = None
    try:
        opened = Library.open(location, show_message)
    except LibraryDamaged:
        kept = Library.rescue(location)
        opened = Library.open(location, show_message)
    with opened, progress_bars() as show:
        found, left = repair_library(opened, deep=deep, on_progress=show)
    found.kept = found.kept or kept
    to_index = found.to_index
    if as_json:
        print_json({"problems": found.problems, "left": left.problems, "to_index": to_index})
    else:
        for problem in found.problems:
            print(printable(problem))
        print(f"{_count(found)} found, {_count(left)} left")
        if found.kept is not None:
            kept_as = printable(str(found.kept))
            print(f"the database was rebuilt from the readable data; the old one is kept as {kept_as}")
        if to_index or found.kept is not None:
            print("To re-encode the affected photos, run: pixsearch index")
    if left.problems:
        raise typer.Exit(NOT_SOUND)


def _summary(findings: Findings) -> str:
    stale = f", {findings.stale:,} changed or deleted since the last run" if findings.stale else ""
    return f"{plural(findings.photos, 'photo')}: {_count(findings)}{stale}"


def _count(findings: Findings) -> str:
    return plural(len(findings.problems), "problem") if findings.problems else "no problems"
