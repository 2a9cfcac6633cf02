"""Every row of a library, read and decoded as queries do it, also where the database itself complains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, Table

from pixsearch.database.checksums import SEALED, is_sound
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
    VECTOR_INDEX,
)
from pixsearch.library.photo_metadata import metadata_of
from pixsearch.paths import below

if TYPE_CHECKING:
    from pixsearch.library.checks import Findings

LENGTH_TOLERANCE = 0.02
"""An embedding comes out of bf16 on some machines."""
_GRIDS_AT_ONCE = 100
_NAMES = {
    "roots": "folder",
    "contents": "what is known of content",
    "photos": "photo",
    "descriptions": "what is known of photo",
    "models": "model",
    "features": "the embedding of content",
    "grids": "the grid of content",
    "failures": "failure",
    "vector_index": "the state of the vectors",
    "runs": "run",
    "text_files": "text file",
    "texts": "text",
    "text_lines": "a line of text file",
    "text_features": "the embedding of text",
}


def check_rows(connection: Connection, findings: Findings) -> None:
    """Find the rows that are damaged, and the photos that have no features."""
    rows = _Rows(findings)
    for table in SEALED:
        for row in readable_rows(connection, table, _GRIDS_AT_ONCE if table is GRIDS else AT_ONCE):
            rows.check(table, row[:-1])
    rows.check_whole()


class _Rows:
    """What was seen of tables that are checked before others."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._sizes: dict[int, int] = {}
        """Of embeddings, by model."""
        self._roots: dict[int, bytes | None] = {}
        """Their paths; None where that may be damaged."""
        self._embedded: set[tuple[int, int]] = set()
        self._encoded: set[int] = set()
        """Contents of which some model has made an embedding and a grid: the next run does what a switch has left."""
        self._told: set[int] = set()
        """Contents of which it was said already."""
        self._has_index = False

    def check(self, table: Table, row: tuple[Any, ...]) -> None:
        """Check a row of the statement `stored`."""
        if table is GRIDS and row[-1] is None:  # beside no embedding, and so of no use: its photo has no features
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
                self._told.add(key[0])
            elif table is TEXT_FEATURES:
                self._findings.encode_texts_again.add(key[0])

    def check_whole(self) -> None:
        """Check what only all rows together tell."""
        for content_id in sorted({content_id for content_id, _ in self._embedded} - self._encoded - self._told):
            if content_id not in self._findings.encode_again:  # by the name of its photo
                self._findings.rows.append(f"content {content_id} has no grid")
                self._findings.encode_again.add(content_id)
        if not self._has_index and not self._findings.damaged.get(VECTOR_INDEX.name):
            self._findings.rows.append("the state of the vectors is missing")

    def _problem(self, table: Table, row: tuple[Any, ...]) -> str | None:
        """What is wrong with a row that is as it was written."""
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
        if root_id not in self._roots:  # which is made again of the photos that name it
            self._findings.rows.append(f"the folder of {shown} is missing")
        elif (root := self._roots[root_id]) is not None and not path.startswith(below(root)):
            return f"({shown}) is not below its folder {root.decode(errors='backslashreplace')}"
        if content_id not in self._encoded and size_bytes != LOOK_AGAIN:
            if content_id not in self._told:
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
        return "is of no model"
    if len(blob) != size * np.dtype(EMBEDDING_TYPE).itemsize:
        return f"has {len(blob)} bytes"
    embedding = np.frombuffer(blob, dtype=EMBEDDING_TYPE)
    if not np.isfinite(embedding).all():
        return "is not finite"
    if abs(float(np.linalg.norm(embedding)) - 1) > LENGTH_TOLERANCE:
        return "has not the length 1"
    return None
