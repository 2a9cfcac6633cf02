"""Write the rows of a batch: encoded pictures, photos, failures, and the text read in pictures."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Column, Connection, delete, insert, select

from pixsearch.database.checksums import grid_checksum, is_sound, stored
from pixsearch.database.database import in_parts
from pixsearch.database.rows import change_each, insert_rows
from pixsearch.database.schema import CONTENTS, DESCRIPTIONS, EMBEDDING_TYPE, FAILURES, FEATURES, GRIDS, PHOTOS
from pixsearch.library.photo_rows import NAMES, metadata_of, metadata_values
from pixsearch.library.postings import post_terms, post_terms_at
from pixsearch.library.records import FailedFile, IndexedFile, NewContent
from pixsearch.library.texts import add_texts
from pixsearch.metadata import METADATA_VERSION, Metadata, merged

_FROM_PIXELS = ("share_decoded", "writing")
"""The columns of `contents` that come from the pixels, not from the metadata in the file."""

DAMAGED = "the library's entry for its content is damaged: run pixsearch repair"


class StoredBatch(NamedTuple):
    """The changes made by a batch. The sets contain content ids."""

    encoded: frozenset[int]
    photos_of: frozenset[int]
    """The contents of the files in the batch. The metadata of their photos may have changed."""
    replaced_photos: bool
    refused: int
    """The number of files that became failures because the rows of their contents are damaged."""


def store_batch(
    connection: Connection,
    model_id: int,
    root_id: int,
    contents: Sequence[NewContent],
    files: Sequence[IndexedFile],
    failures: Sequence[FailedFile],
) -> StoredBatch:
    """Write the rows of a batch. See `LibraryWriter.store`."""
    encoded, changed = _store_contents(connection, model_id, contents) if contents else (frozenset(), set[int]())
    ids = _content_ids(connection, [file.digest for file in files])
    changed |= _store_metadata(connection, files, ids)
    of_contents = _metadata_of_contents(connection, list(ids.values()))
    refused = [FailedFile(file.path, None, DAMAGED) for file in files if ids.get(file.digest) not in of_contents]
    files, failures = [file for file in files if ids.get(file.digest) in of_contents], [*failures, *refused]
    indexed = [file.path for file in files]
    failed = [failure.path for failure in failures]
    unreadable = [failure.path for failure in failures if failure.stamp is not None]
    replaced = delete_paths(connection, indexed + unreadable, PHOTOS.c.path)
    delete_paths(connection, indexed + failed, FAILURES.c.path)
    if files:
        _store_photos(connection, root_id, files, ids, of_contents)
    post_terms_at(connection, indexed)
    post_terms(connection, sorted(changed))  # their other photos have changed too
    if failures:
        insert_rows(connection, FAILURES, [_failure_row(root_id, failure) for failure in failures])
    return StoredBatch(encoded, frozenset(ids.values()), replaced > 0, len(refused))


def _store_metadata(connection: Connection, files: Sequence[IndexedFile], ids: Mapping[bytes, int]) -> set[int]:
    """Update the metadata of contents that were read again, and return the ids of these contents."""
    read_again = {}
    for file in files:
        if file.metadata is not None and file.digest in ids:
            values = metadata_values(file.metadata)
            for name in _FROM_PIXELS:
                del values[name]
            read_again[ids[file.digest]] = values
    change_each(connection, CONTENTS, read_again)
    return set(read_again)


def store_writing(connection: Connection, writing: Mapping[int, Sequence[str]]) -> None:
    """Store the lines of text in pictures, keyed by content id, and index their terms."""
    change_each(connection, CONTENTS, {id_: {"writing": list(lines)} for id_, lines in writing.items()})
    post_terms(connection, sorted(writing))


def delete_paths(connection: Connection, paths: Collection[bytes], column: Column[bytes]) -> int:
    """Delete the rows with these paths in `column`, and return the number of deleted rows."""
    return sum(
        connection.execute(delete(column.table).where(column.in_(part))).rowcount for part in in_parts(sorted(paths))
    )


def _store_photos(
    connection: Connection,
    root_id: int,
    files: Sequence[IndexedFile],
    ids: Mapping[bytes, int],
    of_contents: Mapping[int, Metadata],
) -> None:
    """Write the rows of photos and their descriptions, and add their titles and captions to the texts."""
    metadata = [merged(of_contents[ids[file.digest]], file.beside) for file in files]
    insert_rows(connection, PHOTOS, [_photo_row(root_id, file, ids[file.digest]) for file in files])
    with_more = {file.path: one for file, one in zip(files, metadata, strict=True) if file.beside}
    rows = []
    for part in in_parts(sorted(with_more)):
        for row in connection.execute(select(PHOTOS.c.id, PHOTOS.c.path).where(PHOTOS.c.path.in_(part))):
            rows.append({"photo_id": row.id, **_described(with_more[row.path])})
    insert_rows(connection, DESCRIPTIONS, rows)
    if texts := [text for one in metadata for text in (one.title, one.caption) if text]:
        add_texts(connection, texts)


def _store_contents(
    connection: Connection, model_id: int, contents: Sequence[NewContent]
) -> tuple[frozenset[int], set[int]]:
    """Write encoded contents.

    Returns the ids of all contents, and the ids of those already in the library, encoded by a different model.
    """
    ids = _content_ids(connection, [content.digest for content in contents])
    new = []
    for content in contents:
        if content.digest not in ids:
            new.append(
                {"digest": content.digest, "size_bytes": content.size_bytes, **metadata_values(content.metadata)}
            )
    known = {ids[content.digest]: metadata_values(content.metadata) for content in contents if content.digest in ids}
    for values in known.values():
        del values["writing"]  # text is read only once
    change_each(connection, CONTENTS, known)
    if new:
        insert_rows(connection, CONTENTS, new)
        ids = _content_ids(connection, [content.digest for content in contents])
    features, grids = [], []
    for content in contents:
        key = {"content_id": ids[content.digest], "model_id": model_id}
        embedding = content.embedding.astype(EMBEDDING_TYPE).tobytes()
        checksum = grid_checksum(ids[content.digest], model_id, content.grid)
        features.append({**key, "embedding": embedding, "grid_checksum": checksum})
        grids.append({**key, "grid": content.grid})
    insert_rows(connection, FEATURES, features)
    connection.execute(insert(GRIDS), grids)
    return frozenset(ids.values()), set(known)


def _content_ids(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, int]:
    ids: dict[bytes, int] = {}
    for part in in_parts(digests):
        found = connection.execute(select(CONTENTS.c.digest, CONTENTS.c.id).where(CONTENTS.c.digest.in_(part)))
        ids.update((row.digest, row.id) for row in found)
    return ids


def _metadata_of_contents(connection: Connection, content_ids: Sequence[int]) -> dict[int, Metadata]:
    """Return the metadata of contents, by id. Damaged contents are omitted."""
    return {
        row.id: metadata_of(row)
        for part in in_parts(sorted(set(content_ids)))
        for row in connection.execute(stored(CONTENTS).where(CONTENTS.c.id.in_(part)))
        if is_sound(CONTENTS, row)
    }


def _described(metadata: Metadata) -> dict[str, object]:
    """Return the values for the metadata columns of `descriptions`."""
    values = metadata_values(metadata)
    return {name: values[name] for name in NAMES}


def _photo_row(root_id: int, file: IndexedFile, content_id: int) -> dict[str, object]:
    return {
        "root_id": root_id,
        "path": file.path,
        "content_id": content_id,
        "sidecars": file.sidecars,
        "metadata_version": METADATA_VERSION,
        **file.stamp._asdict(),
    }


def _failure_row(root_id: int, failure: FailedFile) -> dict[str, object]:
    size_bytes, mtime_ns = failure.stamp or (None, None)
    return {
        "root_id": root_id,
        "path": failure.path,
        "size_bytes": size_bytes,
        "mtime_ns": mtime_ns,
        "reason": failure.reason,
        "failed_at_s": time.time(),
    }
