"""`pixsearch index`: add folders of photos to a library and update it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixsearch.errors import LibraryNotFound, PixsearchError, UsageError
from pixsearch.extras import OCR, require
from pixsearch.paths import is_at_or_below
from pixsearch.picture_files import MEGAPIXEL_LIMIT
from pixsearch.printable import plural
from pixsearch.settings import Location, library_location
from pixsearch.storage import FilePath, is_folder, path_bytes, resolved_bytes, to_path
from pixsearch_cli.options import JsonOption, LibraryOption, ModelOption, ProgressFormat, ProgressOption
from pixsearch_cli.output import kinds, print_json, progress_shown, show_message, warn_of_damage

if TYPE_CHECKING:
    from pathlib import Path

    from pixsearch import Library
    from pixsearch.library.records import Failure, Switch
    from pixsearch_indexer import IndexReport, Survey

NOT_ALL_DONE = 1


class On(StrEnum):
    here = "here"
    ray = "ray"


def index(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FOLDERS]...",
            help="Folders of photos (or s3://BUCKET/FOLDER) and .txt files with texts. [default: all indexed folders]",
        ),
    ] = None,
    hidden: Annotated[
        bool | None,
        typer.Option(
            "--hidden/--no-hidden",
            help="Index hidden and system folders too. [default: same as last time]",
            show_default=False,
        ),
    ] = None,
    follow_links: Annotated[
        bool | None,
        typer.Option(
            "--follow-links/--no-follow-links",
            help="Follow symbolic links. [default: same as last time]",
            show_default=False,
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="PATTERN",
            help="Skip files and folders that match this gitignore pattern; repeatable. [default: same as last time]",
        ),
    ] = None,
    ocr: Annotated[
        bool | None,
        typer.Option(
            "--ocr/--no-ocr",
            help="Read the text in pictures, after everything else. [default: same as last time]",
            show_default=False,
        ),
    ] = None,
    max_megapixels: Annotated[
        int, typer.Option("--max-megapixels", metavar="N", min=1, help="Skip pictures larger than N megapixels.")
    ] = MEGAPIXEL_LIMIT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    on: Annotated[On, typer.Option("--on", help="Where to decode and encode photos.")] = On.here,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="HOST:PORT", help="Address of the Ray cluster. [default: this machine]"),
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option("--vectors", metavar="URL|file", help="Keep the vectors in Milvus or in a file from now on."),
    ] = None,
    library: LibraryOption = None,
    model: ModelOption = None,
    switch_model: Annotated[
        bool,
        typer.Option("--switch-model", help="Re-index everything if the library was indexed with a different model."),
    ] = False,
    as_json: JsonOption = False,
    progress: ProgressOption = ProgressFormat.text,
) -> None:
    """Index folders of photos.

    For example: pixsearch index ~/Pictures

    Only files that are new or have changed since the last run are read. Photos are never modified. Exit code 1: some
    files or folders could not be read. Each is listed with the reason, and all others are indexed.
    """
    patterns = None if exclude is None else [pattern for pattern in exclude if pattern]
    named = [to_path(name) for name in folders or []]
    rules = {"hidden": hidden, "follow_links": follow_links, "exclude": patterns, "ocr": ocr}
    if ocr:
        require("--ocr", *OCR)
    if dry_run:
        if model is not None:
            from pixsearch.model.processor import PixelBertProcessor

            PixelBertProcessor.from_pretrained(checkpoint_to_index(library_location(library), model))
        found = _survey(named, library_location(library), rules)
        warn_of_offline(found.offline)
        if as_json:
            print_json(asdict(found))
        else:
            print(_summary_of_survey(found))
            show_skipped(found.not_read)
        return
    options = {"switch_model": switch_model, "max_megapixels": max_megapixels, "vectors": vectors, **rules}
    with _loading(on, address) as loading:
        report, failures = _index(named, library_location(library), model, options, loading, progress)
    for failure in failures:
        show_message(f"{failure.path}: {failure.reason}")
    warn_of_offline(report.offline)
    show_switch(report.switch)
    for line in not_read_for_text(report):
        show_message(line)
    if as_json:
        print_json(asdict(report))
    else:
        print(summary(report))
        show_skipped(report.not_read)
    if failures or report.offline:
        raise typer.Exit(NOT_ALL_DONE)


@contextmanager
def _loading(on: On, address: str | None) -> Iterator[dict[str, Any]]:
    """Yield the options of `index_folders` that determine where photos are decoded and encoded."""
    if on == On.here:
        if address is not None:
            raise UsageError("--address only applies to --on ray", "Add --on ray, or omit --address")
        yield {}
        return
    require("--on ray", "ray", "ray")
    from pixsearch_indexer.on_ray import LoadOnRay

    cluster = LoadOnRay(address)
    try:
        yield {"load_files": cluster}
    finally:
        cluster.close()


def _index(
    folders: list[FilePath],
    location: Location,
    model: str | None,
    options: Mapping[str, Any],
    loading: Mapping[str, Any],
    progress: ProgressFormat,
) -> tuple[IndexReport, list[Failure]]:
    checkpoint = checkpoint_to_index(location, model)
    # Imported late, so that an unknown model name fails without this delay.
    from pixsearch_indexer import CheckpointEncoder, IndexOptions, index_folders

    encoder = CheckpointEncoder(checkpoint)
    with _opened_or_made(location, folders, options["exclude"]) as library:
        with progress_shown(as_json=progress == ProgressFormat.json) as show:
            report = index_folders(library, encoder, folders, show, options=IndexOptions(**options), **loading)
        warn_of_damage(library.damage())
        return report, _of_this_run(folders, library)


def _opened_or_made(location: Location, folders: list[FilePath], exclude: list[str] | None) -> Library:
    """Open the library, or create it if there are folders to index. Wrong usage leaves no empty library behind."""
    from pixsearch import Library
    from pixsearch.vectors.faiss_package import require_faiss
    from pixsearch_indexer.ignoring import check_patterns
    from pixsearch_indexer.roots import chosen_folders

    try:
        return Library.open(location, show_message)
    except LibraryNotFound:
        if not folders:
            raise
        require_faiss()
        check_patterns(exclude or ())
        chosen_folders(folders, None)
        return Library.create(location, show_message)


def _survey(folders: list[FilePath], location: Location, rules: Mapping[str, Any]) -> Survey:
    from pixsearch import Library
    from pixsearch_indexer import IndexOptions, survey

    new_rules = IndexOptions(**rules).changed_rules
    try:
        library = Library.open(location, show_message)
    except LibraryNotFound:
        if not folders:
            raise
        return survey(None, folders, new_rules)
    with library:
        return survey(library, folders, new_rules)


def checkpoint_to_index(location: Location, model: str | None) -> Path:
    """Return the checkpoint to index with, even if there is no library yet.

    The library is not created, so that a mistake in --model leaves no empty one behind.
    """
    from pixsearch import Library
    from pixsearch.model.checkpoints import checkpoint_for

    with suppress(LibraryNotFound), Library.open(location, show_message) as library:
        return library.checkpoint(model, to_index=True)
    return checkpoint_for(model, None)


def _of_this_run(folders: list[FilePath], library: Library) -> list[Failure]:
    """Return the failures in these folders and in text files, which every run reads; without folders, return all."""
    looked_at = [*map(resolved_bytes, folders), *library.text_files()]
    return [
        failure
        for failure in library.failures()
        if not folders or any(is_at_or_below(path_bytes(failure.path), path) for path in looked_at)
    ]


def warn_of_offline(folders: Sequence[FilePath]) -> None:
    for folder in folders:
        why = "not found or empty"
        try:
            is_folder(path_bytes(folder))
        except OSError as error:
            why = f"cannot be reached ({error.strerror})"
        show_message(f"{folder} {why}: keeping its photos")


def show_skipped(not_read: Mapping[str, int]) -> None:
    """List the suffixes of the files that are not pictures, if there are any."""
    if not_read:
        print(f"not read: {kinds(not_read)}")


def show_switch(switch: Switch | None) -> None:
    if switch is not None:
        show_message(unfinished(switch))


def not_read_for_text(report: IndexReport) -> list[str]:
    """Return a line for each picture whose text could not be read, and one for missing packages, if any."""
    lines = [f"{line} (not read for text)" for line in report.unreadable]
    if report.unread:
        try:
            require("reading text in pictures", *OCR)
        except PixsearchError as error:
            lines.append(str(error))
    return lines


def unfinished(switch: Switch) -> str:
    """Return a line that states what is left to do in an unfinished switch to a different model."""
    from pixsearch.library.switching import approximate_duration

    count = plural(switch.to_encode, "photo is", "photos are")
    line = f"{count} not yet encoded with the model {switch.model.name} ({switch.model.fingerprint[:8]})"
    if switch.to_encode and switch.offline == switch.to_encode:
        return f"{line}: offline. Run pixsearch index when the folders are online again"
    offline = f", {switch.offline:,} of them offline" if switch.offline else ""
    return f"{line}{offline}. To continue, run: pixsearch index ({approximate_duration(switch.seconds)})"


def summary(report: IndexReport) -> str:
    parts = [f"{report.encoded:,} encoded" if report.encoded else "nothing encoded", f"{report.unchanged:,} unchanged"]
    if report.reused:
        parts.append(f"{report.reused:,} moved or copied")
    if report.described:
        parts.append(f"{report.described:,} with updated metadata")
    if report.forgotten:
        parts.append(f"{report.forgotten:,} forgotten")
    parts.append(f"{report.failed:,} failed")
    more = []
    if report.texts:
        more.append(f"{plural(report.texts, 'text')} encoded")
    if report.read:
        more.append(summary_of_reading(report))
    return _of_folders(report, parts, more)


def summary_of_reading(report: IndexReport) -> str:
    return f"{plural(report.read, 'picture')} read for text"


def _summary_of_survey(found: Survey) -> str:
    parts = [f"{found.to_read:,} to read", f"{found.unchanged:,} unchanged", f"{found.to_forget:,} to forget"]
    return _of_folders(found, [*parts, f"{found.failed:,} failed"], [])


def _of_folders(counts: IndexReport | Survey, found: list[str], more: list[str]) -> str:
    """Return a summary of the photos found and kept. Omit the photos found if every folder is offline."""
    if counts.kept:
        more.insert(0, f"{plural(counts.kept, 'photo')} kept")
    if counts.found or counts.failed or not counts.kept:
        more.insert(0, f"{plural(counts.found, 'photo')}: {', '.join(found)}")
    return ", ".join(more)
