"""A library.db with missing or extra parts: the message, and whether its hint helps."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pixsearch import Library, SearchEngine
from pixsearch.database.schema import METADATA
from pixsearch.errors import LibraryDamaged, LibraryError, LibraryNotFound
from pixsearch_indexer import index_folders
from pixsearch_indexer.verify import repair, verify
from tests.colour_runtime import ColourRuntime
from tests.database import SQLITE_ONLY
from tests.loading import load_in_this_process
from tests.unsuitable_files import in_time, make_pipe

pytestmark = SQLITE_ONLY
TABLES = [*METADATA.tables, "alembic_version"]


def change(library: Library, statement: str) -> Path:
    library.close()
    with closing(sqlite3.connect(library.folder / "library.db")) as connection:
        connection.execute(statement)
        connection.commit()
    return library.folder


def names(library: Library) -> list[str]:
    return sorted(hit.path.name for hit in SearchEngine(library, ColourRuntime()).search("red", 9))


def mended(folder: Path, photos: Path) -> list[str]:
    """Follow the messages and the guide (pixsearch repair, then pixsearch index), and return the photos found."""
    try:
        opened = Library.open(folder)
    except LibraryDamaged:
        Library.rescue(folder)
        opened = Library.open(folder)
    with opened as library:
        _, left = repair(library)
        assert left.problems == []
        index_folders(library, ColourRuntime(), [photos], load_files=load_in_this_process)
        assert verify(library).problems == []
        return names(library)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_is_gone_is_named_and_repaired(indexed: Library, photos: Path, table: str) -> None:
    folder = change(indexed, f"DROP TABLE {table}")

    with pytest.raises(LibraryDamaged, match="version of" if table == "alembic_version" else f"no table {table}"):
        Library.open(folder)

    assert mended(folder, photos) == ["blue.png", "cyan.png", "lime.png", "magenta.png", "red.png"]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_is_empty_is_repaired(indexed: Library, photos: Path, table: str) -> None:
    folder = change(indexed, f"DELETE FROM {table}")

    assert mended(folder, photos) == ["blue.png", "cyan.png", "lime.png", "magenta.png", "red.png"]


PLANTED = {
    "the trigger t": "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM photos; END",
    "the view v": "CREATE VIEW v AS SELECT * FROM photos",
    "the index i": "CREATE UNIQUE INDEX i ON runs (1)",
    "the virtual table f": "CREATE VIRTUAL TABLE f USING fts5(path)",
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_would_act_by_itself_is_named_before_it_acts_and_repair_takes_it_out(
    indexed: Library, photos: Path, what: str
) -> None:
    folder = change(indexed, PLANTED[what])

    with pytest.raises(LibraryDamaged, match=f"it has {what}, which is not part"):
        Library.create(folder)

    assert mended(folder, photos) == ["blue.png", "cyan.png", "lime.png", "magenta.png", "red.png"]
    with closing(sqlite3.connect(folder / "library.db")) as connection:
        assert connection.execute("SELECT count(*) FROM photos").fetchone() == (5,)
        planted = "SELECT count(*) FROM sqlite_master WHERE name IN ('t', 'v', 'i', 'f')"
        assert connection.execute(planted).fetchone() == (0,)


def test_a_condition_that_was_planted_is_no_mistake_of_ours(indexed: Library) -> None:
    folder = indexed.folder
    indexed.close()
    with closing(sqlite3.connect(folder / "library.db")) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        planted = "replace(sql, 'PRIMARY KEY (id)', 'PRIMARY KEY (id), CHECK (id > 99)')"
        connection.execute(f"UPDATE sqlite_master SET sql = {planted} WHERE name = 'runs'")
        connection.commit()

    with Library.open(folder) as library, library.writing() as writer, pytest.raises(LibraryDamaged, match="CHECK"):
        writer.begin_run()


def test_a_view_in_place_of_a_table_is_not_read(indexed: Library, photos: Path) -> None:
    folder = change(indexed, "ALTER TABLE texts RENAME TO other")
    change(indexed, "CREATE VIEW texts AS SELECT * FROM other")

    with pytest.raises(LibraryDamaged, match="the view texts"):
        Library.open(folder)

    assert len(mended(folder, photos)) == 5


def test_a_database_that_is_no_file_is_said_to_be_none(library: Library) -> None:
    file = library.folder / "library.db"
    library.close()
    make_pipe(file)
    for open_ in (Library.open, Library.create):
        with in_time(), pytest.raises(LibraryError, match="is not a regular file"):
            open_(library.folder)

    file.unlink()
    file.symlink_to("nowhere")
    for open_ in (Library.open, Library.create):
        with pytest.raises(LibraryError, match="is a broken link"):
            open_(library.folder)
    assert file.is_symlink()


@pytest.mark.parametrize("name", ["library.db-journal", "library.db-wal", "library.db-shm"])
def test_what_is_planted_beside_a_database_is_named(library: Library, name: str) -> None:
    library.close()
    for plant in (make_pipe, Path.mkdir, lambda file: file.symlink_to("precious")):
        plant(library.folder / name)

        with in_time(), pytest.raises(LibraryDamaged, match=f"{name} is not a regular file"):
            Library.open(library.folder)

        file = library.folder / name
        file.rmdir() if file.is_dir() else file.unlink()


def test_a_database_that_was_emptied_is_not_taken_for_a_new_one(indexed: Library) -> None:
    indexed.close()
    os.truncate(indexed.folder / "library.db", 0)

    for open_ in (Library.open, Library.create):
        with pytest.raises(LibraryDamaged, match="is empty, though it was a library"):
            open_(indexed.folder)

    for file in indexed.folder.glob("vectors-*"):  # left by a run that was killed at the very beginning
        file.unlink()
    with pytest.raises(LibraryNotFound):
        Library.open(indexed.folder)
