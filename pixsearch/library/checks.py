"""Whether a library keeps its promises: a sound database, photos with features, the vectors of the rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from pixsearch.database.database import Database, in_parts
from pixsearch.database.permissions import open_to_others
from pixsearch.database.schema import EMBEDDING_TYPE, FEATURES, VECTOR_FILES
from pixsearch.database.state import state_of
from pixsearch.library.index_store import connect_service, vector_path
from pixsearch.library.outbox import pending_ids, vectors_location
from pixsearch.library.postings import photos_with_other_terms
from pixsearch.library.row_checks import check_rows
from pixsearch.printable import plural
from pixsearch.vectors.faiss_index import FaissIndex, StaleIndexError
from pixsearch.vectors.vector_index import VectorIndex

VALUE_TOLERANCE = 1e-3
"""The index keeps 16 bits of a number between -1 and 1."""


@dataclass(slots=True)
class Findings:
    """What is wrong, in words, and what of it `repair` can set right."""

    photos: int = 0
    """How many there were to check."""
    database: list[str] = field(default_factory=list)
    """What the database says of itself."""
    rows: list[str] = field(default_factory=list)
    damaged: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    """By the name of a table the primary keys of its rows that are not as they were written, or make no sense."""
    encode_again: set[int] = field(default_factory=set)
    """Contents without good features."""
    encode_texts_again: set[int] = field(default_factory=set)
    vectors: list[str] = field(default_factory=list)
    orphans: set[int] = field(default_factory=set)
    """Ids that a service has and the library does not."""
    files: list[str] = field(default_factory=list)
    """Photos that are not what was indexed, though size and time are the same; only looked for if asked."""
    read_again: list[bytes] = field(default_factory=list)
    """Their paths."""
    terms: list[str] = field(default_factory=list)
    """How the index of what photos say differs from their rows."""
    unreadable: list[str] = field(default_factory=list)
    """Photos that are there and could not be looked at; only the user can mend that."""
    notes: list[str] = field(default_factory=list)
    """What its owner may want to know, though nothing is wrong."""
    stale: int = 0
    """Photos that changed or went since the last run, as far as files were looked at: nothing is wrong with that."""

    kept: Path | None = None
    """Where a repair has kept the database that it has replaced."""

    @property
    def to_index(self) -> int:
        """How much there is for the next run to do once a repair has thrown it away."""
        thrown_away = ("contents", "photos", "descriptions", "texts", "text_lines")
        others = sum(len(self.damaged.get(table, ())) for table in thrown_away)
        return len(self.encode_again) + len(self.encode_texts_again) + len(self.read_again) + others

    @property
    def problems(self) -> list[str]:
        return [*self.database, *self.rows, *self.vectors, *self.terms, *self.files, *self.unreadable]


def check(database: Database) -> Findings:
    """Check all but the photos' own files. Nothing is written. Raises LibraryError where nothing can be read."""
    findings = Findings(notes=open_to_others(database.folder))
    with database.reading() as connection:
        findings.database += database.problems(connection)
        check_rows(connection, findings)
        findings.rows += database.orphans(connection)
        if not findings.database and not findings.rows:
            if wrong := photos_with_other_terms(connection):
                photos = plural(wrong, "photo differs", "photos differ")
                findings.terms.append(f"{photos} from what the index of their words has")
            if (location := vectors_location(connection)) is not None:
                _check_service(connection, location, findings)
            else:
                _check_vectors(connection, database, findings)
    return findings


def _check_vectors(connection: Connection, database: Database, findings: Findings) -> None:
    """Compare the saved file with the rows, where it claims to be of this generation."""
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
    """Compare a service with the rows, except for what waits in the outbox, which the next run sends."""
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
        findings.vectors.append(f"{location} and the library differ in {len(wrong)} ids")
        findings.orphans = found - expected - pending
        return
    if not found:  # Milvus Lite fails where vectors are asked of a collection that never had any
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
            findings.vectors.append(f"{location} has {wrong_values} vectors that are not those of the library")
