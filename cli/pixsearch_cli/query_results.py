"""Shows, opens and copies the hits of a query."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from io import UnsupportedOperation
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pixsearch.durable import temporary_beside
from pixsearch.errors import PictureError
from pixsearch.printable import plural, printable
from pixsearch.search.hits import percent
from pixsearch.storage import FilePath, path_bytes
from pixsearch_cli.json_records import hit_record, remarks_record, text_hit_record
from pixsearch_cli.output import print_json, print_table, show_message
from pixsearch_cli.terminal_pictures import print_with_pictures

if TYPE_CHECKING:
    from pixsearch import Hit, TextHit
    from pixsearch.library.photo_files import OpenFile
    from pixsearch.library.records import StoredPhoto, StoredPicture
    from pixsearch.search.remarks import Remarks

LESS_LIKELY = "less likely:"
_LONGEST_STEM_BYTES = 200
"""The maximum size of the original name in a copy's name. With rank, number and suffix, it stays below 255 bytes."""

StoredPictures = Mapping[int, "StoredPicture"]
"""The stored pictures, keyed by the id of the hit."""


def print_json_lines(hits: Sequence[Hit], query: str | None, remarks: Remarks | None) -> None:
    """Print each hit as a line of JSON, with its query if there are several."""
    for hit in hits:
        line = ({} if query is None else {"query": query}) | hit_record(hit)
        print_json(line | remarks_record(remarks))


def print_paths(hits: Sequence[Hit], end: bytes) -> None:
    """Print the paths as raw bytes, for other programs."""
    sys.stdout.flush()
    for hit in hits:
        sys.stdout.buffer.write(path_bytes(hit.path) + end)
    sys.stdout.buffer.flush()


def print_hits(hits: Sequence[Hit], stored: StoredPictures | None) -> None:
    """Show a table, or thumbnails with their figures."""
    if stored is not None:
        _print_pictures(hits, stored)
    else:
        print_table(*_table(hits), LESS_LIKELY, first_less_likely(hits))


def first_less_likely(hits: Sequence[Hit | TextHit]) -> int | None:
    """Return the index of the first hit that is not likely, or None if all are. Later hits are not likely either."""
    return next((index for index, hit in enumerate(hits) if hit.likely is False), None)


def print_text_hits(hits: Sequence[TextHit], as_json: bool) -> None:
    if as_json:
        for hit in hits:
            print_json(text_hit_record(hit))
        return
    columns = {
        "rank": [str(hit.rank) for hit in hits],
        "probability": ["" if hit.probability is None else percent(hit.probability) for hit in hits],
        "match": [_match(hit) for hit in hits if hit.probability is None],
        "similarity": [similarity(hit) for hit in hits],
        "text": [f"{hit.text}  {_standing(hit)}" for hit in hits],
    }
    print_table(*_shown(columns), LESS_LIKELY, first_less_likely(hits))


def open_best(hit: Hit, stored: StoredPictures) -> bool:
    """Open a photo in the system's viewer. If this fails, show the reason and return False."""
    try:
        path = hit.path
        if isinstance(path, Path):
            path, file = open_hit(hit, stored)
            file.close()
    except PictureError as error:
        show_message(f"{hit.path} could not be opened: {error}")
        return False
    if typer.launch(str(path)) != 0:
        show_message(f"{path} could not be opened: no viewer found")
        return False
    return True


def copy_hits(hits: Sequence[Hit], stored: StoredPictures, folder: Path) -> bool:
    """Copy the photos into a folder, numbered by rank, and return whether all were copied. No file is overwritten.

    If a photo is missing, another one with the same content is copied instead. The reason is shown for each photo that
    could not be copied. Raises OSError if the folder cannot be created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copied = sum(_copy(hit, stored, folder) for hit in hits)
    show_message(f"{plural(copied, 'photo')} copied to {folder}")
    if copied < len(hits):
        show_message(
            f"{len(hits) - copied} of {len(hits)} photos could not be copied. Check that all drives are connected"
        )
    return copied == len(hits)


def open_hit(hit: Hit, stored: StoredPictures) -> tuple[FilePath, OpenFile]:
    """Open the first file of a hit that still has the indexed content. Raises PictureError with the reason."""
    from pixsearch.library.photo_files import open_first

    photo, file = open_first(*_photos(hit, stored))
    return photo.path, file


def bytes_of_hit(hit: Hit, stored: StoredPictures) -> bytes:
    """Read the first file of a hit that still has the indexed content. Raises PictureError with the reason."""
    from pixsearch.library.photo_files import read_first

    return read_first(*_photos(hit, stored))


def _photos(hit: Hit, stored: StoredPictures) -> tuple[list[StoredPhoto], bytes]:
    """Return the photos of a hit, the displayed one first, and their digest. Raises PictureError if they are gone."""
    if (picture := stored.get(hit.id)) is None:
        raise PictureError("no longer in the library")
    photos = {photo.path: photo for photo in picture.photos}
    return [photos[path] for path in (hit.path, *hit.copies) if path in photos], picture.digest


def _copy(hit: Hit, stored: StoredPictures, folder: Path) -> bool:
    """Copy the first readable file of a hit. If this fails, show the reason, leave no partial copy and return False."""
    try:
        path, file = open_hit(hit, stored)
        with file:
            stem = os.fsencode(path.stem)[:_LONGEST_STEM_BYTES].decode(errors="ignore")
            _copy_to(file, folder / f"{hit.rank:03}-{stem or 'photo'}{path.suffix}")
    except PictureError as error:
        show_message(f"{hit.path} could not be copied: {error}")
        return False
    except OSError as error:
        show_message(f"{hit.path} could not be copied: {error.strerror}")
        return False
    return True


def _copy_to(original: OpenFile, target: Path) -> None:
    """Copy a file to the target, or to a numbered name if the target exists.

    Times, permissions and extended attributes are kept as far as the file system supports them.
    """
    with temporary_beside(target) as copy:
        shutil.copyfileobj(original, copy)
        copy.flush()
        with suppress(UnsupportedOperation, OSError):  # an object in object storage, or a file system without them
            found = os.fstat(original.fileno())
            os.fchmod(copy.fileno(), stat.S_IMODE(found.st_mode) & 0o777)
            os.utime(copy.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
            for name in os.listxattr(original.fileno()) if sys.platform == "linux" else ():
                with suppress(OSError):  # only the system may set this one
                    os.setxattr(copy.fileno(), name, os.getxattr(original.fileno(), name))
        for number in count(1):
            free = target if number == 1 else target.with_stem(f"{target.stem}-{number}")
            with suppress(FileExistsError):
                free.open("xb").close()
                break
        try:
            Path(copy.name).replace(free)
        except BaseException:
            free.unlink()
            raise


def _table(hits: Sequence[Hit]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the table of hits, without empty columns."""
    columns = {
        "rank": [str(hit.rank) for hit in hits],
        "score": [score(hit) for hit in hits],
        "match": [_match(hit) for hit in hits if hit.score is None],
        "similarity": [similarity(hit) for hit in hits],
        "taken": [_taken(hit) for hit in hits if hit.similarity is None],
        "why": [why(hit) for hit in hits] if any(hit.says for hit in hits) else [],
        "photo": [_photo(hit) for hit in hits],
    }
    return _shown(columns)


def _shown(columns: Mapping[str, list[str]]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of a table, without the empty columns."""
    shown = {heading: cells for heading, cells in columns.items() if any(cells)}
    return list(shown), [list(row) for row in zip(*shown.values(), strict=True)]


def _print_pictures(hits: Sequence[Hit], stored: StoredPictures) -> None:
    rows: list[tuple[Callable[[], bytes] | None, str]] = []
    less_likely = first_less_likely(hits)
    for index, hit in enumerate(hits):
        if index == less_likely:
            rows.append((None, LESS_LIKELY))
        figures = [f"{hit.rank}", *figures_of(hit)]
        lines = ["  ".join(figures), printable(why(hit)) if hit.says else "", printable(_photo(hit)), _taken(hit)]
        rows.append((partial(bytes_of_hit, hit, stored), "\n".join(lines)))
    print_with_pictures(rows)


def _standing(hit: TextHit) -> str:
    """Return the first source of a text and the number of other sources, in brackets."""
    first = hit.sources[0]
    more = f" and {len(hit.sources) - 1} more" if len(hit.sources) > 1 else ""
    return f"({first.path}{'' if first.line is None else f':{first.line}'}{more})"


def figures_of(hit: Hit) -> list[str]:
    """Return the available figures of a hit: its score, match and similarity, each with its name."""
    figures = [score(hit) and f"score {score(hit)}"]
    if hit.score is None:
        figures.append(_match(hit) and f"match {_match(hit)}")
    return [*filter(None, [*figures, similarity(hit) and f"similarity {similarity(hit)}"])]


def score(hit: Hit) -> str:
    """Return the score with its label, or an empty string if there is no score."""
    return "" if hit.score is None else f"{percent(hit.score)} {hit.certainty}"


def why(hit: Hit) -> str:
    """Return why a photo is a hit: the probability that it shows the query, and the words found in its text."""
    parts = [] if hit.probability is None else [f"shows {percent(hit.probability)}"]
    says = [f'"{one.word}" ({one.source})' for one in hit.says]
    return ", ".join([*parts, *([f"says {', '.join(says)}"] if says else [])])


def _match(hit: Hit | TextHit) -> str:
    return "" if hit.match is None else f"{hit.match:.2f}"


def similarity(hit: Hit | TextHit) -> str:
    """Return the similarity with its rank, or an empty string if there is none."""
    return "" if hit.similarity is None else f"{hit.similarity:.3f} ({hit.similarity_rank})"


def _taken(hit: Hit) -> str:
    taken_at = hit.metadata.taken_at
    return f"{taken_at:%Y-%m-%d %H:%M}" if taken_at else ""


def _photo(hit: Hit) -> str:
    more = []
    if hit.copies:
        more.append(plural(len(hit.copies), "copy", "copies"))
    if hit.similar:
        more.append(f"{len(hit.similar)} similar")
    return f"{hit.path} (and {', '.join(more)})" if more else str(hit.path)
