"""Groups of near-duplicates, kept beside the vectors: what takes minutes to find is found once a generation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from pixsearch.database.database import Database
from pixsearch.database.permissions import make_private_folder, mode_of_files
from pixsearch.database.rows import is_malformed
from pixsearch.database.schema import CONTENTS
from pixsearch.database.state import State, state_of
from pixsearch.durable import write_durably
from pixsearch.regular_files import UnsuitableFile, read_regular

_LIMIT_BYTES = 1 << 30

Groups = list[list[int]]
"""Ids of pictures that are alike."""


def kept(database: Database) -> Groups | None:
    """Return the groups stored for the current features; None where there are none."""
    with database.reading() as connection:
        path = _path(database, state_of(connection))
        # To read what they would be made from takes long.
        made_from = _made_from(connection) if path.exists() else None
    return None if made_from is None else _read(path, made_from)


def kept_or_found(database: Database, find: Callable[[], Groups]) -> Groups:
    """Return the groups stored for the current features, or find and store them."""
    with database.reading() as connection:
        path, made_from = _path(database, state_of(connection)), _made_from(connection)
    if made_from is None:
        return find()
    if (groups := _read(path, made_from)) is not None:
        return groups
    groups = find()
    text = json.dumps(groups, separators=(",", ":")).encode()
    with suppress(OSError):  # who may not write finds them again
        make_private_folder(database.folder)
        write_durably(path, _checksum(made_from + text) + b"\n" + text, mode_of_files(database.folder))
        for other in database.folder.glob("alike-*.json"):
            if other != path:
                other.unlink(missing_ok=True)
    return groups


def _path(database: Database, state: State) -> Path:
    return database.folder / f"alike-{state.generation}.json"


def _made_from(connection: Connection) -> bytes | None:
    """Return what tells pictures from all others by the same ids, as those of a library that was put back from a copy;
    None where that cannot be read."""
    state = state_of(connection)
    try:
        contents = connection.execute(select(CONTENTS.c.id, CONTENTS.c.digest).order_by(CONTENTS.c.id)).all()
    except DBAPIError as error:
        if not is_malformed(error):
            raise
        return None
    return repr((state.generation, state.model, list(map(tuple, contents)))).encode()


def _read(path: Path, made_from: bytes) -> Groups | None:
    """None where nothing was kept of this, or it is not as it was written."""
    try:
        checksum, _, text = read_regular(path, _LIMIT_BYTES).partition(b"\n")
        if checksum != _checksum(made_from + text):
            return None
        groups = json.loads(text)
    except (OSError, UnsuitableFile, ValueError, RecursionError):
        return None
    is_sound = isinstance(groups, list) and all(
        isinstance(group, list) and all(type(one) is int for one in group) for group in groups
    )
    return groups if is_sound else None


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
