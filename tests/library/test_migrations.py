from __future__ import annotations

import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from pixsearch import Library
from pixsearch.library import migrations
from pixsearch.library.schema import METADATA, SCHEMA_VERSION


def test_the_migrations_make_the_very_tables_that_the_code_declares(library: Library) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{library.folder / 'library.db'}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)
    engine.dispose()

    assert differences == []


def test_the_newest_revision_is_the_one_the_code_asks_for() -> None:
    assert ScriptDirectory(migrations.__path__[0]).get_current_head() == SCHEMA_VERSION
