"""Add a checksum to each row. Remove impossible coordinates, ratings and decoded shares."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import op

from pixsearch.database.checksums import checksum

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_IDS_AT_ONCE = 500
_LENGTH_TOLERANCE = 0.02

_DESCRIBED = "taken_at date_kind camera lens latitude longitude title caption keywords people rating location note"
_TABLES = {
    "roots": ("id", "path online hidden follow_links exclude not_read"),
    "contents": ("id", f"digest size_bytes format width height {_DESCRIBED} share_decoded"),
    "photos": ("id", "root_id path size_bytes mtime_ns content_id sidecars metadata_version"),
    "descriptions": ("photo_id", f"photo_id {_DESCRIBED}"),
    "models": ("id", "fingerprint name embedding_size"),
    "failures": ("id", "root_id path size_bytes mtime_ns reason failed_at_s"),
    "vector_index": ("id", "model_id generation place target_id"),
    "runs": ("id", "started_at_s finished_at_s found unchanged encoded reused forgotten failed"),
    "text_files": ("id", "path size_bytes mtime_ns reason failed_at_s"),
    "texts": ("id", "text"),
    "text_lines": ("file_id line", "file_id line text_id"),
    "text_features": ("text_id model_id", "text_id model_id embedding"),
    "features": ("content_id model_id", "content_id model_id embedding grid_checksum"),
}
"""The key of each table, and the columns covered by the checksum, in order."""
_CHANGED = ("latitude", "longitude", "rating", "share_decoded", "grid_checksum")
_JSON = ("exclude", "not_read", "keywords", "people")
_BOOLEAN = ("online", "hidden", "follow_links")

Values = dict[str, Any]


def upgrade() -> None:
    op.add_column("features", sa.Column("grid_checksum", sa.Integer(), nullable=False, server_default="0"))
    for name in _TABLES:
        op.add_column(name, sa.Column("checksum", sa.Integer(), nullable=False, server_default="0"))
    database = op.get_bind()
    sizes = {row.id: row.embedding_size for row in database.execute(sa.text("SELECT id, embedding_size FROM models"))}
    for name, (key, columns) in _TABLES.items():
        _seal(database, name, key.split(), columns.split(), sizes)


def _seal(
    database: sa.Connection, name: str, key: Sequence[str], columns: Sequence[str], sizes: Mapping[int, int]
) -> None:
    table = sa.table(name, *map(sa.column, dict.fromkeys((*key, *columns, "checksum"))))
    of_row = (table.c[column] == sa.bindparam(f"of_{column}") for column in key)
    written = [*(column for column in columns if column in _CHANGED), "checksum"]
    change = sa.update(table).where(*of_row).values({column: sa.bindparam(f"new_{column}") for column in written})
    first = table.c[key[0]]
    last = database.scalar(sa.select(sa.func.max(first))) or 0
    for start in range(0, last + 1, _IDS_AT_ONCE):
        within = first.between(start, start + _IDS_AT_ONCE - 1)
        grids = _grid_checksums(database, start) if name == "features" else {}
        changes = []
        for row in database.execute(sa.select(table).where(within)).mappings().all():
            values = _healed({column: _read(column, row[column]) for column in columns})
            if name == "features":
                values["grid_checksum"] = grids.get((row["content_id"], row["model_id"]), 0)
            sealed = checksum(list(values.values()), 2 if "embedding" in columns else None)
            # Rows that do not make sense get a wrong checksum, so that they are detected as damaged.
            values["checksum"] = sealed if _makes_sense(values, sizes) else ~sealed
            changes.append({f"of_{column}": row[column] for column in key} | _new(values, written))
        if changes:
            database.execute(change, changes)


def _new(values: Values, columns: Sequence[str]) -> Values:
    return {f"new_{column}": values[column] for column in columns}


def _read(column: str, value: Any) -> Any:
    """Convert a stored value to the Python value that is covered by the checksum."""
    if column in _BOOLEAN:
        return bool(value)
    if column in _JSON and isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _healed(values: Values) -> Values:
    """Return the values with numbers outside their valid range replaced."""
    if "latitude" in values:
        place = values["latitude"], values["longitude"]
        if not all(_is_within(value, -most, most) for value, most in zip(place, (90, 180), strict=True)):
            values["latitude"] = values["longitude"] = None
        if not _is_within(values["rating"], -1, 5):
            values["rating"] = None
    if "share_decoded" in values and not _is_within(values["share_decoded"], 0, 1):
        values["share_decoded"] = 1.0
    return values


def _is_within(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and least <= value <= most


def _makes_sense(values: Values, sizes: Mapping[int, int]) -> bool:
    """Return whether dates and lists are valid, and embeddings are unit vectors of the size that the model produces."""
    try:
        if values.get("taken_at"):
            datetime.fromisoformat(values["taken_at"])
        if "embedding" in values:
            embedding = np.frombuffer(values["embedding"], "<f4")
            length = float(np.linalg.norm(embedding))
            return len(embedding) == sizes[values["model_id"]] and abs(length - 1) <= _LENGTH_TOLERANCE
        return all(isinstance(values[name], list) for name in ("keywords", "people") if name in values)
    except (KeyError, TypeError, ValueError):
        return False


def _grid_checksums(database: sa.Connection, start: int) -> dict[tuple[int, int], int]:
    """Return the grid checksums for a batch of content ids from `start`, keyed by content and model id."""
    grids = sa.table("grids", sa.column("content_id"), sa.column("model_id"), sa.column("grid"))
    within = grids.c.content_id.between(start, start + _IDS_AT_ONCE - 1)
    return {
        (row.content_id, row.model_id): _grid_checksum(row) for row in database.execute(sa.select(grids).where(within))
    }


def _grid_checksum(row: sa.Row[Any]) -> int:
    sealed = checksum(row, 2)
    return sealed if isinstance(row.grid, bytes) and _is_packed(row.grid) else ~sealed


def _is_packed(grid: bytes) -> bool:
    """Return whether a grid consists of a scale, the number of values, a bitmap of nonzero values, and these values."""
    if len(grid) < 8 or not math.isfinite(np.frombuffer(grid, "<f4", 1)[0]):
        return False
    size = int.from_bytes(grid[4:8], "little")
    begins = 8 + (size + 7) // 8
    if begins > len(grid):
        return False
    kept = int(np.bitwise_count(np.frombuffer(grid[8:begins], np.uint8)).sum())
    return begins + kept == len(grid)
