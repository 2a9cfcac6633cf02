"""`pixsearch watch`: keep a library up to date."""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from pixsearch.printable import plural
from pixsearch.settings import library_location
from pixsearch_cli.index_cmd import (
    checkpoint_to_index,
    not_read_for_text,
    show_switch,
    summary,
    summary_of_reading,
    warn_of_offline,
)
from pixsearch_cli.options import LibraryOption, ModelOption
from pixsearch_cli.output import progress_bars, show_message

if TYPE_CHECKING:
    from pixsearch import Library
    from pixsearch.library.records import Failure
    from pixsearch_indexer import IndexReport


def watch(library: LibraryOption = None, model: ModelOption = None) -> None:
    """Update the library whenever its folders change, until Ctrl-C.

    For example: pixsearch watch --library ~/my-library

    Each update that changes something is reported on one line. The photos of an unplugged folder stay in the library,
    and the folder is scanned again when it is back.
    """
    from pixsearch import Library
    from pixsearch_indexer import CheckpointEncoder
    from pixsearch_indexer.watch import watch as keep_fresh

    location = library_location(library)
    encoder = CheckpointEncoder(checkpoint_to_index(location, model))
    with Library.open(location, show_message) as opened:
        tell = partial(_tell, opened, set(), set())
        keep_fresh(opened, encoder, tell, _tell_watching, progress_bars, lambda error: show_message(str(error)))


def _tell(library: Library, told: set[Failure], told_lines: set[str], report: IndexReport) -> None:
    """Report what a run did, and the failures and lines that are not in `told` and `told_lines` yet. Add them there."""
    failures = set(library.failures())
    for failure in sorted(failures - told, key=attrgetter("path")):
        show_message(f"{failure.path}: {failure.reason}")
    told |= failures
    warn_of_offline(report.offline)
    show_switch(report.switch)
    for line in not_read_for_text(report):
        if line not in told_lines:
            show_message(line)
            told_lines.add(line)
    if report.encoded or report.reused or report.described or report.forgotten or report.texts:
        print(summary(report), flush=True)
    elif report.read:
        print(summary_of_reading(report), flush=True)


def _tell_watching(folders: int) -> None:
    show_message(f"watching {plural(folders, 'folder')} (press Ctrl-C to stop)")
