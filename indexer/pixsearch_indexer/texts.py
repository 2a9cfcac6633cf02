"""Add texts to the library: read the lines of text files, and encode the new ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeGuard

from pixsearch.database.schema import LOOK_AGAIN
from pixsearch.library.library import Library
from pixsearch.library.records import FailedFile
from pixsearch.library.writer import LibraryWriter
from pixsearch.progress import Progress, ProgressCallback
from pixsearch.regular_files import TEXT_LIMIT_BYTES, UnsuitableFile, read_regular
from pixsearch.search.runtime import Encoder
from pixsearch.storage import FilePath, stamp_of

SUFFIX = ".txt"
_ENCODE_AT_ONCE = 64


def is_text_file(path: FilePath) -> TypeGuard[Path]:
    """Return whether a path is a text file on this machine rather than a folder of photos."""
    return isinstance(path, Path) and path.suffix.lower() == SUFFIX and path.is_file()


def read_text_files(library: Library, writer: LibraryWriter, files: Sequence[Path]) -> int:
    """Bring the library up to date with these files and all text files that it contains. Return how many failed.

    A deleted file is removed from the library if its folder still exists.
    """
    known = library.text_files()
    given = {os.path.realpath(os.fsencode(file)) for file in files}
    failed = 0
    for path in sorted(known.keys() | given):
        file = Path(os.fsdecode(path))
        try:
            stamp = stamp_of(file)
            if path not in known or known[path].stamp != stamp:
                writer.store_text_file(path, stamp, dict(_lines(file)))
            else:
                failed += known[path].failed
        except FileNotFoundError:
            if _folder_exists(path):
                writer.forget_text_file(path)
            elif path in known:
                failed += known[path].failed
        except UnicodeDecodeError:
            writer.store_text_failure(FailedFile(path, stamp, "is not UTF-8 text"))
            failed += 1
        except UnsuitableFile as error:
            writer.store_text_failure(FailedFile(path, stamp, f"is {error.strerror}"))
            failed += 1
        except OSError as error:
            writer.store_text_failure(FailedFile(path, None, f"cannot be read: {error.strerror}"))
            failed += 1
    return failed


def changed_texts(library: Library) -> set[bytes]:
    """Return the text files changed or deleted since the last run, except those that the last run could not read."""
    changed = set()
    for path, known in library.text_files().items():
        try:
            is_same = stamp_of(Path(os.fsdecode(path))) == known.stamp
        except OSError:
            is_same = not _folder_exists(path)
        if not is_same and known.stamp.size_bytes != LOOK_AGAIN:
            changed.add(path)
    return changed


def encode_texts(
    writer: LibraryWriter, encoder: Encoder, on_progress: ProgressCallback, stop: Callable[[], bool]
) -> int:
    """Encode and commit all texts that are not yet encoded, in batches. Return the number of encoded texts."""
    done = 0
    while (texts := writer.texts_to_encode(_ENCODE_AT_ONCE)) and not stop():
        embeddings = encoder.embed_texts([text for _, text in texts])
        writer.store_texts({text_id: embedding for (text_id, _), embedding in zip(texts, embeddings, strict=True)})
        done += len(texts)
        on_progress(Progress("reading texts", done))
    return done


def _folder_exists(file: bytes) -> bool:
    return os.path.isdir(os.path.dirname(file))  # noqa: PTH112, PTH120 - Path methods raise without permission


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the non-blank lines with their numbers, starting at 1. Raises OSError or UnicodeDecodeError."""
    text = (
        read_regular(path, TEXT_LIMIT_BYTES).decode("utf-8-sig").replace("\0", " ")
    )  # PostgreSQL text cannot contain NUL
    for number, line in enumerate(text.splitlines(), start=1):
        if words := " ".join(line.split()):
            yield number, words
