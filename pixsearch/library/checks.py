"""Whether a library keeps its promises: a sound database, photos with features, the vectors of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Connection, Table, exists, select

from pixsearch.library.database import Database, in_parts
from pixsearch.library.library_vectors import service_at
from pixsearch.library.outbox import vectors_place, waiting
from pixsearch.library.paths import below
from pixsearch.library.permissions import open_to_others
from pixsearch.library.schema import (
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
from pixsearch.library.status import model_of
from pixsearch.library.vector_file import vector_path
from pixsearch.vectors.base import VectorIndex
from pixsearch.vectors.faiss_index import FaissIndex, StaleIndexError

LENGTH_TOLERANCE = 0.02
"""An embedding comes out of bf16 on some machines."""
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
    encode_again: set[int] = field(default_factory=set)
    """Contents without good features."""
    encode_texts_again: set[int] = field(default_factory=set)
    vectors: list[str] = field(default_factory=list)
    strays: set[int] = field(default_factory=set)
    """Ids that a service has and the rows have not."""
    files: list[str] = field(default_factory=list)
    """Photos that are not what was indexed, though size and time are the same; only looked for if asked."""
    read_again: list[bytes] = field(default_factory=list)
    """Their paths."""
    unreadable: list[str] = field(default_factory=list)
    """Photos that are there and could not be looked at; only the user can mend that."""
    notes: list[str] = field(default_factory=list)
    """What its owner may want to know, though nothing is wrong."""
    stale: int = 0
    """Photos that changed or went since the last run, as far as files were looked at: nothing is wrong with that."""

    @property
    def problems(self) -> list[str]:
        return [*self.database, *self.rows, *self.vectors, *self.files, *self.unreadable]


def check(database: Database) -> Findings:
    """Check all but the photos' own files. Nothing is written. Raises LibraryError where the rows cannot be read."""
    findings = Findings(notes=open_to_others(database.folder))
    with database.reading() as connection:
        findings.database += database.problems(connection)
        if not findings.database:
            _check_rows(connection, findings)
            if not findings.rows:
                if (place := vectors_place(connection)) is not None:
                    _check_service(connection, place, findings)
                else:
                    _check_vectors(connection, database, findings)
    return findings


def _check_rows(connection: Connection, findings: Findings) -> None:
    model = connection.execute(
        select(MODELS.c.id, MODELS.c.embedding_size).join(VECTOR_INDEX, VECTOR_INDEX.c.model_id == MODELS.c.id)
    ).one_or_none()
    roots = {root.id: root.path for root in connection.execute(select(ROOTS.c.id, ROOTS.c.path))}
    photos = connection.execution_options(yield_per=10_000).execute(
        select(
            PHOTOS.c.path,
            PHOTOS.c.root_id,
            PHOTOS.c.content_id,
            PHOTOS.c.size_bytes,
            # By any model: the next run encodes what an unfinished switch has left.
            exists().where(
                FEATURES.c.content_id == PHOTOS.c.content_id,
                GRIDS.c.content_id == FEATURES.c.content_id,
                GRIDS.c.model_id == FEATURES.c.model_id,
            ),
        )
    )
    for path, root_id, content_id, size_bytes, has_features in photos:
        findings.photos += 1
        if not path.startswith(below(roots[root_id])):
            findings.rows.append(f"{_shown(path)} is not below its folder {_shown(roots[root_id])}")
        if not has_features and size_bytes != LOOK_AGAIN:
            findings.rows.append(f"{_shown(path)} has no features")
            findings.encode_again.add(content_id)
    if model is None:
        return
    for content_id, problem in _bad_embeddings(connection, FEATURES, model.id, model.embedding_size):
        findings.rows.append(f"the embedding of content {content_id} {problem}")
        findings.encode_again.add(content_id)
    for text_id, problem in _bad_embeddings(connection, TEXT_FEATURES, model.id, model.embedding_size):
        findings.rows.append(f"the embedding of text {text_id} {problem}")
        findings.encode_texts_again.add(text_id)
    empty = select(GRIDS.c.content_id).where(GRIDS.c.model_id == model.id, GRIDS.c.grid == b"")
    for content_id in connection.scalars(empty):
        findings.rows.append(f"the grid of content {content_id} is empty")
        findings.encode_again.add(content_id)


def _bad_embeddings(connection: Connection, table: Table, model_id: int, size: int) -> Iterator[tuple[int, str]]:
    """Ids and what is wrong, of a table whose first column is the id."""
    rows = connection.execution_options(yield_per=10_000).execute(
        select(table.columns[0], table.c.embedding).where(table.c.model_id == model_id)
    )
    for id_, blob in rows:
        if len(blob) != size * np.dtype(EMBEDDING_TYPE).itemsize:
            yield id_, f"has {len(blob)} bytes"
            continue
        embedding = np.frombuffer(blob, dtype=EMBEDDING_TYPE)
        if not np.isfinite(embedding).all():
            yield id_, "is not finite"
        elif abs(float(np.linalg.norm(embedding)) - 1) > LENGTH_TOLERANCE:
            yield id_, "has not the length 1"


def _check_vectors(connection: Connection, database: Database, findings: Findings) -> None:
    """The saved file against the rows, where it claims to be of this very state of them."""
    state = connection.execute(
        select(VECTOR_INDEX.c.model_id, VECTOR_INDEX.c.generation, VECTOR_FILES.c.sha256).join(
            VECTOR_FILES,
            (VECTOR_FILES.c.generation == VECTOR_INDEX.c.generation) & (VECTOR_FILES.c.holder == database.holder),
        )
    ).one_or_none()
    if state is None or state.model_id is None:
        return
    path = vector_path(database.folder, state.generation)
    try:
        index = FaissIndex.load(path, state.sha256)
    except StaleIndexError as error:
        findings.vectors.append(str(error))
        return
    _compare(connection, index, str(path), state.model_id, set(), findings)


def _check_service(connection: Connection, place: str, findings: Findings) -> None:
    """What the service has against the rows, but for what it was not told yet: that the next run does."""
    if (model := model_of(connection)) is None:
        return
    model_id = connection.scalars(select(VECTOR_INDEX.c.model_id)).one()
    _compare(connection, service_at(place, model), place, model_id, waiting(connection), findings)


def _compare(
    connection: Connection, index: VectorIndex, place: str, model_id: int, untold: set[int], findings: Findings
) -> None:
    of_model = FEATURES.c.model_id == model_id
    expected = set(connection.scalars(select(FEATURES.c.content_id).where(of_model)))
    found = set(index.ids().tolist())
    if wrong := (expected ^ found) - untold:
        findings.vectors.append(f"{place} and the library differ in {len(wrong)} ids")
        findings.strays = found - expected - untold
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
        told = [place for place, id_ in enumerate(ids.tolist()) if id_ in rows and id_ not in untold]
        if not told:
            continue
        embeddings = np.stack([np.frombuffer(rows[int(ids[place])], dtype=EMBEDDING_TYPE) for place in told])
        if wrong_values := int((abs(vectors[told] - embeddings).max(axis=1) > VALUE_TOLERANCE).sum()):
            findings.vectors.append(f"{place} has {wrong_values} vectors that are not those of the library")


def _shown(path: bytes) -> str:
    return path.decode(errors="backslashreplace")
