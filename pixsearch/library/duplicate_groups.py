"""Store groups of near-duplicates in a file next to the vectors.

Finding the groups takes minutes, so they are kept until the features change.
"""

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
"""Groups of pictures that look alike, as lists of picture ids."""


def load_groups(database: Database) -> Groups | None:
    """Return the groups stored for the current features, or None if no groups are stored."""
    with database.reading() as connection:
        path = _path(database, state_of(connection))
        # Reading the inputs is slow, so skip it if there is no file.
        inputs = _inputs(connection) if path.exists() else None
    return None if inputs is None else _read(path, inputs)


def load_or_find_groups(database: Database, find: Callable[[], Groups]) -> Groups:
    """Return the groups stored for the current features, or find and store them."""
    with database.reading() as connection:
        path, inputs = _path(database, state_of(connection)), _inputs(connection)
    if inputs is None:
        return find()
    if (groups := _read(path, inputs)) is not None:
        return groups
    groups = find()
    text = json.dumps(groups, separators=(",", ":")).encode()
    with suppress(OSError):  # without write permission, the groups are not stored
        make_private_folder(database.folder)
        write_durably(path, _checksum(inputs + text) + b"\n" + text, mode_of_files(database.folder))
        for other in database.folder.glob("alike-*.json"):
            if other != path:
                other.unlink(missing_ok=True)
    return groups


def _path(database: Database, state: State) -> Path:
    return database.folder / f"alike-{state.generation}.json"


def _inputs(connection: Connection) -> bytes | None:
    """Return data that identifies the pictures and their features, or None if the rows cannot be read.

    Ids are not enough, because a library restored from a backup may have given the same ids to different pictures.
    """
    state = state_of(connection)
    try:
        contents = connection.execute(select(CONTENTS.c.id, CONTENTS.c.digest).order_by(CONTENTS.c.id)).all()
    except DBAPIError as error:
        if not is_malformed(error):
            raise
        return None
    return repr((state.generation, state.model, list(map(tuple, contents)))).encode()


def _read(path: Path, inputs: bytes) -> Groups | None:
    """Return the groups stored for these inputs, or None if the file is missing, outdated or damaged."""
    try:
        checksum, _, text = read_regular(path, _LIMIT_BYTES).partition(b"\n")
        if checksum != _checksum(inputs + text):
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
