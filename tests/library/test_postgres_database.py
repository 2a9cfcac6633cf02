"""Tests of guarantees that only libraries in PostgreSQL provide. Most tests in this folder run on both databases."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from pixsearch import Filters, Library
from pixsearch.errors import LibraryBusy, LibraryDamaged, LibraryError, UsageError
from pixsearch.library.records import IndexedFile, NewContent
from pixsearch.metadata import Metadata
from tests.database import sql
from tests.library.test_library import MODEL, STAMP, content, fill
from tests.postgres import PostgresServer

pytestmark = pytest.mark.slow


@pytest.fixture
def location(postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return postgres.new_database()


def test_a_second_writer_is_told_the_machine_and_the_process_that_writes(library: Library, location: str) -> None:
    hold = (
        f"from pixsearch import Library\nwith Library.open({location!r}).writing(): print('held', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"

        with pytest.raises(LibraryBusy) as refused, library.writing():
            pass

        other.kill()
    assert f"on {socket.gethostname()}, process {other.pid}" in refused.value.message


def test_a_writer_whose_server_is_restarted_has_lost_the_right_to_write(
    library: Library, postgres: PostgresServer
) -> None:
    fill(library, {"/photos/a.jpg": b"a"})

    def write_on() -> None:
        with library.writing() as writer:
            writer.use_model(MODEL)
            postgres.stop("immediate")
            postgres.start()
            writer.forget([b"/photos/a.jpg"])

    with pytest.raises(LibraryError, match=r"cannot be reached.*stored data is not lost"):
        write_on()

    assert library.status().photos == 1  # reading still works
    fill(library, {"/photos/b.jpg": b"b"})
    assert len(library.vectors()) == 2


def test_a_server_that_cannot_be_reached_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    with pytest.raises(LibraryError) as error:
        Library.open(f"postgresql+psycopg://me:secret@/photos?host={tmp_path}")

    assert "postgresql+psycopg://me:***@/photos" in error.value.message
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_keep_every_text_is_refused(postgres: PostgresServer, encoding: str) -> None:
    url = postgres.new_database(f"ENCODING {encoding} LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")

    with pytest.raises(
        LibraryError,
        match=f"must have the encoding UTF8, not {encoding}. Create a UTF8 database with: createdb -E UTF8",
    ):
        Library.create(url)


def test_a_table_that_is_gone_is_named_with_what_helps(library: Library, location: str) -> None:
    library.close()
    with psycopg.connect(location.replace("+psycopg", "")) as server:
        server.execute("DROP TABLE grids")

    with pytest.raises(LibraryDamaged, match=r"the table grids is missing\. Restore the database from a backup"):
        Library.open(location)


@pytest.mark.parametrize(
    "plant",
    [
        "ALTER TABLE runs ADD CHECK (id < 0)",
        "ALTER TABLE runs ALTER COLUMN found SET NOT NULL",
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON runs EXECUTE FUNCTION refuse()",
    ],
)
def test_what_was_added_to_tables_and_refuses_rows_is_no_mistake_of_ours(
    library: Library, location: str, plant: str
) -> None:
    with psycopg.connect(location.replace("+psycopg", "")) as server:
        server.execute(plant)

    with library.writing() as writer, pytest.raises(LibraryError, match="rejected a change"):
        writer.begin_run()


def test_numbers_come_back_as_they_were_stored_whatever_the_server_rounds_them_to(postgres: PostgresServer) -> None:
    with Library.create(postgres.new_database(setting="extra_float_digits = -15")) as library:
        with library.writing() as writer:
            writer.end_run(writer.begin_run(), {})

        assert library.check().problems == []


def test_a_database_without_the_schema_of_its_search_path_is_refused(postgres: PostgresServer) -> None:
    url = postgres.new_database(setting="search_path = nowhere")

    with pytest.raises(LibraryError, match="has none of the schemas in the search_path nowhere"):
        Library.create(url)


def test_a_server_that_ends_what_takes_long_is_told_of(library: Library, location: str) -> None:
    hurried = Library.open(f"{location}&options=-c%20statement_timeout%3D100")

    with psycopg.connect(location.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE photos")
        with pytest.raises(LibraryError, match="exceeded the server's time limit"):
            hurried.status()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://host/photos", "unsupported database mysql"),
        ("://", "the library URL is not valid"),
        ("postgresql+nosuch://host/x", "unsupported driver postgresql+nosuch. Use postgresql+psycopg or postgresql"),
        ("postgresql+asyncpg://host/x", "unsupported driver postgresql+asyncpg. Use postgresql+psycopg or postgresql"),
    ],
)
def test_what_is_no_place_of_a_library_is_wrong_usage(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        Library.open(url)


def test_texts_may_be_long(library: Library) -> None:
    long = os.urandom(20_000).hex()
    with library.writing() as writer:
        writer.use_model(MODEL)
        new = NewContent(b"a", 10, Metadata("JPEG", 4, 3, caption=long), content(b"a").embedding, b"grid")
        writer.store(writer.root_of(b"/photos")[0], [new], [IndexedFile(b"/photos/a", STAMP, b"a")], [])

        assert [text for _, text in writer.texts_to_encode(9)] == [long]


def test_pictures_of_more_pixels_than_32_bits_count_are_filtered(library: Library) -> None:
    with library.writing() as writer:
        writer.use_model(MODEL)
        large = NewContent(b"a", 10, Metadata("JPEG", 60_000, 60_000), content(b"a").embedding, b"grid")
        writer.store(writer.root_of(b"/photos")[0], [large], [IndexedFile(b"/photos/a", STAMP, b"a")], [])

    assert library.passing(Filters(min_megapixels=3000)) == [1]


def test_each_machine_keeps_a_vector_file_of_its_own(
    library: Library, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(library, {"/photos/a.jpg": b"a", "/photos/b.jpg": b"b"})
    [here] = library.folder.glob("vectors-*")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "of another machine"))

    with Library.open(location) as elsewhere:
        assert sorted(elsewhere.vectors().ids().tolist()) == [1, 2]
        [there] = elsewhere.folder.glob("vectors-*")

    assert here.exists()
    assert there != here
    assert len(sql(library, "SELECT holder FROM vector_files")) == 2
    assert library.check().problems == []


def test_an_id_is_never_given_again(library: Library) -> None:
    fill(library, {"/photos/a.jpg": b"a", "/photos/b.jpg": b"b"})
    with library.writing() as writer:
        writer.forget([b"/photos/b.jpg"])
        writer.drop_unused_contents()

    fill(library, {"/photos/c.jpg": b"c"})

    assert sorted(library.vectors().ids().tolist()) == [1, 3]


def test_what_is_stored_by_the_hundred_goes_in_many_rows_a_statement(library: Library) -> None:
    statements: list[str] = []
    engine = library._database._engine
    sqlalchemy.event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    fill(library, {f"/photos/{number}.jpg": b"%d" % number for number in range(300)})

    for table in ("contents", "photos", "features", "grids"):
        inserts = [statement for statement in statements if statement.startswith(f"INSERT INTO {table} ")]
        assert len(inserts) <= 2, table
        assert inserts[0].count("(") > 100, table
