"""A guess at a library's model, for those who begin to load it before SQLAlchemy is imported."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from pixsearch.settings import DATABASE_NAME, Place


def likely_model(place: Place) -> str | None:
    """Return the name of the model that a library in a folder seems to be searched by, in a millisecond.

    It is not checked and may be wrong: `Library.model` knows. None where it cannot be read, or the library is in
    PostgreSQL.
    """
    if isinstance(place, str):
        return None
    file = place.absolute() / DATABASE_NAME
    beside = [file.with_name(f"{file.name}-{what}") for what in ("journal", "wal", "shm")]
    if any(os.path.lexists(one) and not one.is_file() for one in [file, *beside]):  # SQLite would wait for a pipe
        return None
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=0)) as database:
            row = database.execute(
                "SELECT name FROM vector_index JOIN models ON models.id = vector_index.model_id"
            ).fetchone()
    except sqlite3.Error:
        return None
    return row[0] if row is not None and isinstance(row[0], str) else None
