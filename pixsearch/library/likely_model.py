"""Guess the model of a library, so that loading the model can begin before SQLAlchemy is imported."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from pixsearch.settings import DATABASE_NAME, Location


def likely_model(location: Location) -> str | None:
    """Return the probable name of the model used to search a library. This takes about a millisecond.

    The name is not verified and may be wrong; use `Library.model` to get the verified name. Return None if the database
    cannot be read or is in PostgreSQL.
    """
    if isinstance(location, str):
        return None
    file = location.absolute() / DATABASE_NAME
    beside = [file.with_name(f"{file.name}-{what}") for what in ("journal", "wal", "shm")]
    if any(os.path.lexists(one) and not one.is_file() for one in [file, *beside]):  # SQLite would block on a pipe
        return None
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=0)) as database:
            row = database.execute(
                "SELECT name FROM vector_index JOIN models ON models.id = vector_index.model_id"
            ).fetchone()
    except sqlite3.Error:
        return None
    return row[0] if row is not None and isinstance(row[0], str) else None
