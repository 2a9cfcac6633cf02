"""`pixsearch duplicates`: list photos that are in the library more than once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.errors import UsageError
from pixsearch.printable import plural, printable
from pixsearch.settings import library_location
from pixsearch.storage import path_bytes
from pixsearch_cli.options import (
    JsonOption,
    LibraryOption,
    ModelOption,
    NullOption,
    PathsOption,
    PicturesOption,
    ProgressFormat,
    ProgressOption,
)
from pixsearch_cli.output import print_json, print_table, progress_shown, show_message, warn_of_damage
from pixsearch_cli.status_cmd import size
from pixsearch_cli.terminal_pictures import print_with_pictures, shows_pictures

if TYPE_CHECKING:
    from pixsearch import Library
    from pixsearch.library.records import StoredPhoto, StoredPicture
    from pixsearch.search.duplicates import Duplicates


def duplicates(
    alike: Annotated[
        bool, typer.Option("--alike", help="Include near-duplicates: scaled or compressed copies, and bursts.")
    ] = False,
    pictures: PicturesOption = None,
    as_json: JsonOption = False,
    paths: PathsOption = False,
    null: NullOption = False,
    library: LibraryOption = None,
    model: ModelOption = None,
    progress: ProgressOption = ProgressFormat.text,
) -> None:
    """List duplicate photos. Nothing is deleted.

    For example:

    pixsearch duplicates --alike

    pixsearch duplicates -0 | xargs -0 --no-run-if-empty ls -l

    The best photo of each group comes first: the one with the most pixels, then one with a date, then the largest file.
    --paths lists the files that you can delete without losing anything: all but one of each set of byte-identical
    copies. Files that are missing now are not listed.
    """
    if alike and (paths or null):
        raise UsageError(
            "--alike and --paths cannot be used together", "Omit --alike: near-duplicates are not identical copies"
        )
    if as_json and (paths or null):
        raise UsageError("--json and --paths cannot be used together", "Omit one of them")
    from pixsearch import Library

    with Library.open(library_location(library), show_message) as opened:
        groups = _found(opened, model, progress, alike=alike)
        warn_of_damage(opened.damage())
    if as_json:
        for group in groups:
            print_json(_record(group))
    elif paths or null:
        _print_spare(groups, b"\0" if null else b"\n")
    elif groups and shows_pictures(pictures):
        print_with_pictures((partial(_bytes_of, group.pictures[0]), _lines(group)) for group in groups)
    elif groups:
        _print_table(groups)
    if not (as_json or paths or null):
        show_message(_summary(groups))


def _found(library: Library, model: str | None, progress: ProgressFormat, *, alike: bool) -> list[Duplicates]:
    from pixsearch.search.duplicates import copies, near_duplicates

    if not alike or library.model() is None:
        return copies(library)
    from pixsearch.model.load_runtime import load_runtime

    with progress_shown(as_json=progress == ProgressFormat.json) as show:
        return near_duplicates(library, load_runtime(library.checkpoint(model), gpu=False), show)


def _rows_of(group: Duplicates) -> list[tuple[StoredPicture, StoredPhoto]]:
    return [(picture, photo) for picture in group.pictures for photo in picture.photos]


def _record(group: Duplicates) -> dict[str, object]:
    return {
        "spare_bytes": group.spare_bytes,
        "photos": [
            {
                "path": photo.path,
                "best": not number,
                "id": picture.content_id,
                "size_bytes": picture.size_bytes,
                "width": photo.metadata.width,
                "height": photo.metadata.height,
                "taken_at": photo.metadata.taken_at,
            }
            for number, (picture, photo) in enumerate(_rows_of(group))
        ],
    }


def _print_spare(groups: Sequence[Duplicates], end: bytes) -> None:
    from pixsearch.search.duplicates import spare_copies

    sys.stdout.flush()
    left_out = 0
    for group in groups:
        spare = [path_bytes(photo.path) for photo in spare_copies(group)]
        shown = [path for path in spare if end not in path]  # a name with a line break would look like several paths
        left_out += group.count - len(group.pictures) - len(shown)
        for path in shown:
            sys.stdout.buffer.write(path + end)
    sys.stdout.buffer.flush()
    if left_out:
        show_message(
            f"{plural(left_out, 'copy', 'copies')} left out: deleted, changed, on a different drive, or with more "
            "metadata than the best copy"
        )


def _print_table(groups: Sequence[Duplicates]) -> None:
    rows = [[str(number), *cells] for number, group in enumerate(groups, start=1) for cells in _cells(group)]
    print_table(["group", "", "size", "pixels", "taken", "photo"], rows)


def _cells(group: Duplicates) -> Iterator[list[str]]:
    """Yield the table cells of each photo in a group."""
    for index, (picture, photo) in enumerate(_rows_of(group)):
        taken_at, pixels = photo.metadata.taken_at, f"{photo.metadata.width}x{photo.metadata.height}"
        taken = f"{taken_at:%Y-%m-%d %H:%M}" if taken_at else ""
        yield ["" if index else "best", size(picture.size_bytes), pixels, taken, printable(str(photo.path))]


def _lines(group: Duplicates) -> str:
    return "\n".join("  ".join(filter(None, cells)) for cells in _cells(group))


def _summary(groups: Sequence[Duplicates]) -> str:
    if not groups:
        return "no duplicates"
    photos, spare_bytes = sum(group.count for group in groups), sum(group.spare_bytes for group in groups)
    count = plural(len(groups), "group")
    return f"{count} with {photos:,} photos in total; all but the best take up {size(spare_bytes)}"


def _bytes_of(picture: StoredPicture) -> bytes:
    """Return the bytes of the first readable file of a picture. Raises PictureError if there is none."""
    from pixsearch.library.photo_files import read_first

    return read_first(picture.photos, picture.digest)
