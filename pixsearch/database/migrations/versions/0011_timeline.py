"""Add the terms for the timeline, which `Database.migrate` fills in. The tables are unchanged."""

from __future__ import annotations

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
