"""Texts on their way into the library: lines of files, and what photos are described by."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeGuard

from pixsearch.errors import PixsearchError
from pixsearch.library.library import Library
from pixsearch.library.writer import LibraryWriter
from pixsearch.progress import Progress, ProgressCallback
from pixsearch.storage import FilePath, stamp_of
from pixsearch_indexer.encoder import Encoder

SUFFIX = ".txt"
_ENCODE_AT_ONCE = 64


def is_text_file(path: FilePath) -> TypeGuard[Path]:
    """Whether this is a file of texts on this machine, rather than a folder of photos."""
    return isinstance(path, Path) and path.suffix.lower() == SUFFIX and path.expanduser().is_file()


def read_text_files(library: Library, writer: LibraryWriter, files: Sequence[Path]) -> None:
    """Bring these files, and all that the library knows, up to date in it.

    A file that is gone from a folder that is there is forgotten. Raises PixsearchError for one that is no text.
    """
    known = library.text_files()
    given = {os.path.realpath(os.fsencode(file.expanduser())) for file in files}
    for path in sorted(known.keys() | given):
        try:
            stamp = stamp_of(file := Path(os.fsdecode(path)))
        except FileNotFoundError:
            if os.path.isdir(os.path.dirname(path)):  # noqa: PTH112, PTH120
                writer.forget_text_file(path)
            continue
        if known.get(path) != stamp:
            writer.store_text_file(path, stamp, dict(_lines(file)))


def encode_texts(
    writer: LibraryWriter, encoder: Encoder, on_progress: ProgressCallback, is_to_stop: Callable[[], bool]
) -> int:
    """Encode all texts that are not encoded yet, and commit them as they come. Returns how many."""
    done = 0
    while (texts := writer.texts_to_encode(_ENCODE_AT_ONCE)) and not is_to_stop():
        embeddings = encoder.embed_texts([text for _, text in texts])
        writer.store_texts({text_id: embedding for (text_id, _), embedding in zip(texts, embeddings, strict=True)})
        done += len(texts)
        on_progress(Progress("reading texts", done))
    return done


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers from 1."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PixsearchError(f"{path} is not text in UTF-8", "Save it as UTF-8, one text a line") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if words := " ".join(line.split()):
            yield number, words
