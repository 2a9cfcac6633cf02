"""Check a library: its database must be sound, every photo must have features, and the vectors must match the rows.

Every row is read and decoded as it would be for a query, even if the database itself reports errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, select

from pixsearch.database.checksums import SEALED, is_sound
from pixsearch.database.database import Database, in_parts
from pixsearch.database.permissions import open_to_others
from pixsearch.database.rows import AT_ONCE, readable_rows
from pixsearch.database.schema import (
    CONTENTS,
    EMBEDDING_TYPE,
    FEATURES,
    GRIDS,
    LOOK_AGAIN,
    MODELS,
    PHOTOS,
    ROOTS,
    TEXT_FEATURES,
    VECTOR_FILES,
    VECTOR_INDEX,
)
from pixsearch.database.state import state_of
from pixsearch.library.index_store import connect_service, vector_path
from pixsearch.library.outbox import pending_ids, vectors_location
from pixsearch.library.photo_rows import metadata_of
from pixsearch.library.postings import photos_with_other_terms
from pixsearch.paths import below
from pixsearch.printable import plural
from pixsearch.vectors.faiss_index import FaissIndex, StaleIndexError
from pixsearch.vectors.vector_index import VectorIndex

LENGTH_TOLERANCE = 0.02
"""The maximum deviation of an embedding's length from 1, large enough for machines that compute in bf16."""
_GRIDS_AT_ONCE = 100
_NAMES = {
    "roots": "folder",
    "contents": "the metadata of content",
    "photos": "photo",
    "descriptions": "the metadata of photo",
    "models": "model",
    "features": "the embedding of content",
    "grids": "the grid of content",
    "failures": "failure",
    "vector_index": "the vector index record",
    "runs": "run",
    "text_files": "text file",
    "texts": "text",
    "text_lines": "a line of text file",
    "text_features": "the embedding of text",
}
VALUE_TOLERANCE = 1e-3
"""The maximum difference between a number in the index and in the rows. The index stores only 16 bits per number."""


@dataclass(slots=True)
class Findings:
    """The problems found, as messages, and the data that `repair` needs to fix them."""

    photos: int = 0
    """The number of photos checked."""
    database: list[str] = field(default_factory=list)
    """Problems reported by the database itself."""
    rows: list[str] = field(default_factory=list)
    damaged: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    """The primary keys of damaged or invalid rows, by table name."""
    encode_again: set[int] = field(default_factory=set)
    """The ids of contents whose features are missing or damaged."""
    encode_texts_again: set[int] = field(default_factory=set)
    vectors: list[str] = field(default_factory=list)
    orphans: set[int] = field(default_factory=set)
    """Ids that are in the vector index but not in the library."""
    files: list[str] = field(default_factory=list)
    """Photos whose content has changed but whose size and time have not. Found only by a deep check."""
    read_again: list[bytes] = field(default_factory=list)
    """The paths of the photos in `files`."""
    terms: list[str] = field(default_factory=list)
    """Differences between the term index and the rows of photos."""
    unreadable: list[str] = field(default_factory=list)
    """Photos that exist but cannot be read. Only the user can fix this."""
    notes: list[str] = field(default_factory=list)
    """Messages for the user that are not problems."""
    stale: int = 0
    """The number of photos changed or deleted since the last run (not a problem). Counted only by a deep check."""

    kept: Path | None = None
    """The path of the old database, if a repair replaced it."""

    @property
    def to_index(self) -> int:
        """The number of items that must be indexed again after a repair."""
        dropped = ("contents", "photos", "descriptions", "texts", "text_lines")
        others = sum(len(self.damaged.get(table, ())) for table in dropped)
        return len(self.encode_again) + len(self.encode_texts_again) + len(self.read_again) + others

    @property
    def problems(self) -> list[str]:
        return [*self.database, *self.rows, *self.vectors, *self.terms, *self.files, *self.unreadable]


def check(database: Database) -> Findings:
    """Check everything except the photo files, without making changes. Raises LibraryError if nothing can be read."""
    findings = Findings(notes=open_to_others(database.folder))
    with database.reading() as connection:
        findings.database += database.problems(connection)
        check_rows(connection, findings)
        findings.rows += database.orphans(connection)
        if not findings.database and not findings.rows:
            if wrong := photos_with_other_terms(connection):
                findings.terms.append(f"the word index does not match {plural(wrong, 'photo')}")
            if (location := vectors_location(connection)) is not None:
                _check_service(connection, location, findings)
            else:
                _check_vectors(connection, database, findings)
    return findings


def _check_vectors(connection: Connection, database: Database, findings: Findings) -> None:
    """Compare the saved vector file with the rows, if the file is recorded as current."""
    state = state_of(connection)
    of_state = (VECTOR_FILES.c.generation == state.generation) & (VECTOR_FILES.c.holder == database.holder)
    sha256 = connection.scalar(select(VECTOR_FILES.c.sha256).where(of_state))
    if sha256 is None or state.model_id is None:
        return
    path = vector_path(database.folder, state.generation)
    try:
        index = FaissIndex.load(path, sha256)
    except StaleIndexError as error:
        findings.vectors.append(str(error))
        return
    _compare(connection, index, str(path), state.model_id, set(), findings)


def _check_service(connection: Connection, location: str, findings: Findings) -> None:
    """Compare a vector service with the rows, except for changes still in the outbox."""
    state = state_of(connection)
    if state.model is None or state.model_id is None:
        return
    service = connect_service(location, state.model)
    _compare(connection, service, location, state.model_id, pending_ids(connection), findings)


def _compare(
    connection: Connection, index: VectorIndex, location: str, model_id: int, pending: set[int], findings: Findings
) -> None:
    of_model = FEATURES.c.model_id == model_id
    expected = set(connection.scalars(select(FEATURES.c.content_id).where(of_model)))
    found = set(index.ids().tolist())
    if wrong := (expected ^ found) - pending:
        ids_differ = plural(len(wrong), "id differs", "ids differ")
        findings.vectors.append(f"{location} does not match the library: {ids_differ}")
        findings.orphans = found - expected - pending
        return
    if not found:  # Milvus Lite fails to read vectors from a collection that never had any
        return
    for ids, vectors in index.parts():
        rows = {
            row.content_id: row.embedding
            for part in in_parts(ids.tolist())
            for row in connection.execute(
                select(FEATURES.c.content_id, FEATURES.c.embedding).where(of_model, FEATURES.c.content_id.in_(part))
            )
        }
        known = [index_ for index_, id_ in enumerate(ids.tolist()) if id_ in rows and id_ not in pending]
        if not known:
            continue
        embeddings = np.stack([np.frombuffer(rows[int(ids[index_])], dtype=EMBEDDING_TYPE) for index_ in known])
        if wrong_values := int((abs(vectors[known] - embeddings).max(axis=1) > VALUE_TOLERANCE).sum()):
            vectors_differ = plural(wrong_values, "vector differs", "vectors differ")
            findings.vectors.append(f"{location} does not match the library: {vectors_differ}")


def check_rows(connection: Connection, findings: Findings) -> None:
    """Find damaged rows and photos without features."""
    rows = _Rows(findings)
    for table in SEALED:
        for row in readable_rows(connection, table, _GRIDS_AT_ONCE if table is GRIDS else AT_ONCE):
            rows.check(table, row[:-1])
    rows.check_whole()


class _Rows:
    """A checker for rows. It keeps the data from earlier tables that is needed to check later ones."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._sizes: dict[int, int] = {}
        """The embedding sizes, by model id."""
        self._roots: dict[int, bytes | None] = {}
        """The paths of the roots, by id. The path of a damaged root is None."""
        self._embedded: set[tuple[int, int]] = set()
        self._encoded: set[int] = set()
        """Contents with an embedding and a grid from one model. It can be any model, as during an unfinished switch."""
        self._reported: set[int] = set()
        """Contents that have already been reported."""
        self._has_index = False

    def check(self, table: Table, row: tuple[Any, ...]) -> None:
        """Check a row selected with `stored`."""
        if table is GRIDS and row[-1] is None:  # its embedding is missing, so its photos are reported below
            return
        problem = self._problem(table, row) if is_sound(table, row) else "is damaged"
        if table is ROOTS:
            self._roots[row[0]] = None if problem else row[1]
        if problem is not None:
            key = tuple(row[: len(table.primary_key)])
            self._findings.damaged.setdefault(table.name, []).append(key)
            self._findings.rows.append(f"{_NAMES[table.name]} {key[0]} {problem}")
            if table in (FEATURES, GRIDS):
                self._findings.encode_again.add(key[0])
                self._reported.add(key[0])
            elif table is TEXT_FEATURES:
                self._findings.encode_texts_again.add(key[0])

    def check_whole(self) -> None:
        """Run the checks that need the data from all rows."""
        for content_id in sorted({content_id for content_id, _ in self._embedded} - self._encoded - self._reported):
            if content_id not in self._findings.encode_again:  # otherwise it is reported with the path of its photo
                self._findings.rows.append(f"content {content_id} has no grid")
                self._findings.encode_again.add(content_id)
        if not self._has_index and not self._findings.damaged.get(VECTOR_INDEX.name):
            self._findings.rows.append("the vector index record is missing")

    def _problem(self, table: Table, row: tuple[Any, ...]) -> str | None:
        """Return the problem with a row whose checksum is valid, or None."""
        if table is MODELS:
            self._sizes[row[0]] = row[3]
        elif table is VECTOR_INDEX:
            self._has_index = True
        elif table is CONTENTS:
            return _problem_of_metadata(row)
        elif table in (FEATURES, TEXT_FEATURES):
            if table is FEATURES:
                self._embedded.add((row[0], row[1]))
            return _problem_of_embedding(row[2], self._sizes.get(row[1]))
        elif table is GRIDS:
            if not row[2]:
                return "is empty"
            if (row[0], row[1]) in self._embedded:
                self._encoded.add(row[0])
        elif table is PHOTOS:
            return self._problem_of_photo(row)
        return None

    def _problem_of_photo(self, row: tuple[Any, ...]) -> str | None:
        _, root_id, path, size_bytes, _, content_id, *_ = row
        self._findings.photos += 1
        shown = path.decode(errors="backslashreplace")
        if root_id not in self._roots:  # a repair restores it from the paths of its photos
            self._findings.rows.append(f"the folder entry for {shown} is missing")
        elif (root := self._roots[root_id]) is not None and not path.startswith(below(root)):
            return f"({shown}) is not inside its folder {root.decode(errors='backslashreplace')}"
        if content_id not in self._encoded and size_bytes != LOOK_AGAIN:
            if content_id not in self._reported:
                self._findings.rows.append(f"{shown} has no features")
            self._findings.encode_again.add(content_id)
        return None


def _problem_of_metadata(row: tuple[Any, ...]) -> str | None:
    try:
        metadata_of(row)
    except (TypeError, ValueError) as error:
        return f"cannot be read: {error}"
    return None


def _problem_of_embedding(blob: bytes, size: int | None) -> str | None:
    if size is None:
        return "does not belong to a model"
    if len(blob) != size * np.dtype(EMBEDDING_TYPE).itemsize:
        return f"has {plural(len(blob), 'byte')} instead of {size * np.dtype(EMBEDDING_TYPE).itemsize}"
    embedding = np.frombuffer(blob, dtype=EMBEDDING_TYPE)
    if not np.isfinite(embedding).all():
        return "is not finite"
    if abs(float(np.linalg.norm(embedding)) - 1) > LENGTH_TOLERANCE:
        return "is not a unit vector"
    return None
