"""Add search terms, the nearest town, and text in pictures. `Database.migrate` fills in the terms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from pixsearch.database.checksums import checksum
from pixsearch.gazetteer.gazetteer import nearest, words

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_IDS_AT_ONCE = 500
_DESCRIBED = "taken_at date_kind camera lens latitude longitude title caption keywords people rating location note"
_TABLES = {
    "roots": ("id", "path online hidden follow_links exclude", "not_read"),
    "contents": ("id", f"digest size_bytes format width height {_DESCRIBED}", "share_decoded"),
    "descriptions": ("photo_id", f"photo_id {_DESCRIBED}", ""),
}
"""The key of each table, and the existing columns covered by the checksum, before and after the new ones."""
_NEW: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "roots": ({"ocr": False}, {}),
    "contents": ({"place": None}, {"writing": None}),
    "descriptions": ({"place": None}, {}),
}
_JSON = ("exclude", "not_read", "keywords", "people")
_BOOLEAN = ("online", "hidden", "follow_links")


def upgrade() -> None:
    op.add_column("roots", sa.Column("ocr", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("contents", sa.Column("place", sa.String(), nullable=True))
    op.add_column("contents", sa.Column("writing", sa.JSON(), nullable=True))
    op.add_column("descriptions", sa.Column("place", sa.String(), nullable=True))
    op.create_table(
        "postings",
        sa.Column("photo_id", sa.Integer(), nullable=False),
        sa.Column("term", sa.LargeBinary(), nullable=False),
        sa.Column("content_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["photo_id"], ["photos.id"], name="fk_postings_photo_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("photo_id", "term", name="pk_postings"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_postings_term_content_id", "postings", ["term", "content_id"])
    for name, (key, before, behind) in _TABLES.items():
        _seal(op.get_bind(), name, key, before.split(), behind.split())


def _seal(database: sa.Connection, name: str, key: str, before: Sequence[str], behind: Sequence[str]) -> None:
    new_before, new_behind = _NEW[name]
    old = [*before, *behind]
    table = sa.table(name, *map(sa.column, dict.fromkeys((key, *old, *new_before, *new_behind, "checksum"))))
    written = [*new_before, "checksum"] if "place" in new_before else ["checksum"]
    change = (
        sa.update(table)
        .where(table.c[key] == sa.bindparam("of_key"))
        .values({column: sa.bindparam(f"new_{column}") for column in written})
    )
    last = database.scalar(sa.select(sa.func.max(table.c[key]))) or 0
    for start in range(0, last + 1, _IDS_AT_ONCE):
        changes = []
        within = table.c[key].between(start, start + _IDS_AT_ONCE - 1)
        for row in database.execute(sa.select(table).where(within)).mappings().all():
            values = {column: _read(column, row[column]) for column in old}
            was_sound = checksum(list(values.values())) == row["checksum"]
            new = {**new_before, **new_behind}
            if "place" in new and was_sound:
                new["place"] = _place(values)
            all_values = [values[column] for column in before] + [new[column] for column in new_before]
            all_values += [values[column] for column in behind] + [new[column] for column in new_behind]
            sealed = checksum(all_values)
            new["checksum"] = sealed if was_sound else ~sealed
            changes.append({"of_key": row[key]} | {f"new_{column}": new[column] for column in written})
        if changes:
            database.execute(change, changes)


def _place(values: dict[str, Any]) -> str | None:
    if values["latitude"] is None or values["longitude"] is None:
        return None
    found = nearest(values["latitude"], values["longitude"])
    return None if found is None else words(found)


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
