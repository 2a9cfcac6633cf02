"""Groups of near-duplicates, kept beside the vectors: what takes minutes to find is found once a generation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress

from pixsearch.durable import write_durably
from pixsearch.library.database import Database
from pixsearch.library.permissions import make_private_folder, mode_of_files
from pixsearch.library.state import state_of
from pixsearch.regular_files import UnsuitableFile, read_regular

_LIMIT_BYTES = 1 << 30

Groups = list[list[int]]
"""Ids of pictures that are alike."""


def kept_or_found(database: Database, find: Callable[[], Groups]) -> Groups:
    """Return the groups that were kept of the features as they are now; else those that are found, which are kept."""
    with database.reading() as connection:
        state = state_of(connection)
    made_from = f"{state.generation} {state.model and state.model.fingerprint}\n".encode()
    path = database.folder / f"alike-{state.generation}.json"
    with suppress(OSError, UnsuitableFile):
        checksum, _, text = read_regular(path, _LIMIT_BYTES).partition(b"\n")
        if checksum == _checksum(made_from + text):
            kept: Groups = json.loads(text)
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


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
