"""Store pixel grids without zeros, which are most of the values. This reduces their size to a quarter."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_IDS_AT_ONCE = 500
_GRIDS = sa.table("grids", sa.column("content_id"), sa.column("model_id"), sa.column("grid", sa.LargeBinary()))


def upgrade() -> None:
    database = op.get_bind()
    repack = (
        sa.update(_GRIDS)
        .where(_GRIDS.c.content_id == sa.bindparam("of_content"), _GRIDS.c.model_id == sa.bindparam("of_model"))
        .values(grid=sa.bindparam("packed"))
    )
    last = database.scalar(sa.select(sa.func.max(_GRIDS.c.content_id))) or 0
    for first in range(0, last + 1, _IDS_AT_ONCE):
        some = sa.select(_GRIDS).where(_GRIDS.c.content_id.between(first, first + _IDS_AT_ONCE - 1))
        packed = [
            {"of_content": content_id, "of_model": model_id, "packed": _without_zeros(grid)}
            for content_id, model_id, grid in database.execute(some).all()
        ]
        if packed:
            database.execute(repack, packed)


def _without_zeros(grid: bytes) -> bytes:
    """Convert a scale and one byte per value to the packed format.

    The packed format is the scale, the number of values, a bitmap of the nonzero values, and the nonzero values.
    """
    if len(grid) < 4:
        return grid  # the grid is damaged, which verify reports
    values = np.frombuffer(grid, np.uint8, offset=4)
    there = values != 0
    packed: bytes = (
        grid[:4] + len(values).to_bytes(4, "little") + np.packbits(there).tobytes() + values[there].tobytes()
    )
    return packed
