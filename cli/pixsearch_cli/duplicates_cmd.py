"""`pixsearch duplicates`: photos that the library has more than once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.errors import UsageError
from pixsearch.settings import library_place
from pixsearch.storage import path_bytes
from pixsearch_cli.options import JsonOption, LibraryOption, ModelOption, NullOption, PathsOption, PicturesOption
from pixsearch_cli.output import print_json, print_table, progress_bars, say, tell_damage
from pixsearch_cli.status_cmd import size
from pixsearch_cli.terminal_pictures import print_with_pictures, shows_pictures

if TYPE_CHECKING:
    from pixsearch import Library
    from pixsearch.library.records import StoredPhoto, StoredPicture
    from pixsearch.search.duplicates import Duplicates


def duplicates(
    alike: Annotated[
        bool, typer.Option("--alike", help="Also pictures that look the same: scaled, compressed, of a burst.")
    ] = False,
    pictures: PicturesOption = None,
    as_json: JsonOption = False,
    paths: PathsOption = False,
    null: NullOption = False,
    library: LibraryOption = None,
    model: ModelOption = None,
) -> None:
    """Show photos that the library has more than once. Nothing is deleted.

    For example:

    pixsearch duplicates --alike

    pixsearch duplicates -0 | xargs -0 --no-run-if-empty ls -l

    Of each group the best stands first: of the most pixels, then with a date, then the largest. --paths names what can
    be deleted without a loss: byte-identical copies that are there now, but for one of each.
    """
    if alike and (paths or null):
        raise UsageError("--alike and --paths exclude each other", "What looks the same is no copy; see it as a table")
    if as_json and (paths or null):
        raise UsageError("--json and --paths exclude each other", "Leave one out")
    from pixsearch import Library

    with Library.open(library_place(library), say) as opened:
        groups = _found(opened, model, alike=alike)
        tell_damage(opened.damage())
    if as_json:
        for group in groups:
            print_json(_record(group))
    elif paths or null:
        _print_spare(groups, b"\0" if null else b"\n")
    elif groups and shows_pictures(pictures):
        print_with_pictures(
            (partial(_bytes_of, group.pictures[0]), "\n".join(map(_line, _rows_of(group)))) for group in groups
        )
    elif groups:
        _print_table(groups)
    if not (as_json or paths or null):
        say(_summary(groups))


def _found(library: Library, model: str | None, *, alike: bool) -> list[Duplicates]:
    from pixsearch.search.duplicates import copies, near_duplicates

    if not alike or library.model() is None:
        return copies(library)
    from pixsearch.model.runtime import PixelBertRuntime

    with progress_bars() as show:
        return near_duplicates(library, PixelBertRuntime(library.checkpoint(model), gpu=False), show)


def _rows_of(group: Duplicates) -> list[tuple[StoredPicture, StoredPhoto]]:
    return [(picture, photo) for picture in group.pictures for photo in picture.photos]


def _record(group: Duplicates) -> dict[str, object]:
    return {
        "spare_bytes": group.spare_bytes,
        "photos": [
            {
                "path": photo.path,
                "id": picture.content_id,
                "size_bytes": picture.size_bytes,
                "width": picture.metadata.width,
                "height": picture.metadata.height,
                "taken_at": picture.metadata.taken_at,
            }
            for picture, photo in _rows_of(group)
        ],
    }


def _print_spare(groups: Sequence[Duplicates], end: bytes) -> None:
    from pixsearch.search.duplicates import spare_copies

    sys.stdout.flush()
    left_out = 0
    for group in groups:
        spare = list(spare_copies(group))
        left_out += group.count - len(group.pictures) - len(spare)
        for photo in spare:
            sys.stdout.buffer.write(path_bytes(photo.path) + end)
    sys.stdout.buffer.flush()
    if left_out:
        say(f"{left_out:,} left out: gone, changed, or the same file under another name. Look again: pixsearch index")


def _print_table(groups: Sequence[Duplicates]) -> None:
    rows = [
        [str(number), "best" if not place else "", *_facts(picture), str(photo.path)]
        for number, group in enumerate(groups, start=1)
        for place, (picture, photo) in enumerate(_rows_of(group))
    ]
    print_table(["group", "", "size", "pixels", "taken", "photo"], rows)


def _bytes_of(picture: StoredPicture) -> bytes:
    """Raises PictureError, OSError."""
    from pixsearch.library.photo_files import open_first

    _, file = open_first(picture.photos, picture.digest)
    with file:
        return file.read()


def _facts(picture: StoredPicture) -> list[str]:
    metadata = picture.metadata
    taken = f"{metadata.taken_at:%Y-%m-%d %H:%M}" if metadata.taken_at else ""
    return [size(picture.size_bytes), f"{metadata.width}x{metadata.height}", taken]


def _line(row: tuple[StoredPicture, StoredPhoto]) -> str:
    picture, photo = row
    return "  ".join([*filter(None, _facts(picture)), str(photo.path)])


def _summary(groups: Sequence[Duplicates]) -> str:
    if not groups:
        return "no duplicates"
    photos, spare_bytes = sum(group.count for group in groups), sum(group.spare_bytes for group in groups)
    count = f"{len(groups):,} {'group' if len(groups) == 1 else 'groups'}"
    return f"{count} of {photos:,} photos; all but the best take {size(spare_bytes)}"
