"""Groups of near-duplicates, kept beside the vectors: what takes minutes to find is found once a generation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from pixsearch.durable import write_durably
from pixsearch.library.database import Database
from pixsearch.library.permissions import make_private_folder, mode_of_files
from pixsearch.library.rows import is_malformed
from pixsearch.library.schema import CONTENTS
from pixsearch.library.state import state_of
from pixsearch.regular_files import UnsuitableFile, read_regular

_LIMIT_BYTES = 1 << 30

Groups = list[list[int]]
"""Ids of pictures that are alike."""


def kept_or_found(database: Database, find: Callable[[], Groups]) -> Groups:
    """Return the groups stored for the current features, or find and store them."""
    with database.reading() as connection:
        state = state_of(connection)
        try:
            contents = connection.execute(select(CONTENTS.c.id, CONTENTS.c.digest).order_by(CONTENTS.c.id)).all()
        except DBAPIError as error:
            if not is_malformed(error):
                raise
            return find()
    # The ids alone would not do: a library that was put back from a copy may have given them to other pictures.
    made_from = repr((state.generation, state.model, list(map(tuple, contents)))).encode()
    path = database.folder / f"alike-{state.generation}.json"
    if (kept := _read(path, made_from)) is not None:
        return kept
    groups = find()
    text = json.dumps(groups, separators=(",", ":")).encode()
    with suppress(OSError):  # who may not write finds them again
        make_private_folder(database.folder)
        write_durably(path, _checksum(made_from + text) + b"\n" + text, mode_of_files(database.folder))
        for other in database.folder.glob("alike-*.json"):
            if other != path:
                other.unlink(missing_ok=True)
    return groups


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
