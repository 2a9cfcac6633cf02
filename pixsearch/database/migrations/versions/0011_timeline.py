"""The timeline's terms, which `Database.migrate` fills in; the tables stay as they are."""

from __future__ import annotations

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
