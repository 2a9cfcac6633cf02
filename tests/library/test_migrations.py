from __future__ import annotations

import sqlite3
import stat
import struct
import zlib
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from pixsearch import Library
from pixsearch.database import migrations
from pixsearch.database.schema import METADATA, SCHEMA_VERSION
from pixsearch.database.state import LibraryModel
from pixsearch.errors import LibraryError
from pixsearch.library.records import OUTDATED, KnownTextFile, ScanRules
from pixsearch.metadata import Metadata
from pixsearch.model.grids import unpack_grids
from pixsearch.storage import FileStamp
from pixsearch_indexer.verify import verify
from tests.database import SQLITE_ONLY
from tests.test_durable import files_no_larger_than


@SQLITE_ONLY
def test_the_migrations_make_the_very_tables_that_the_code_declares(library: Library) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{library.folder / 'library.db'}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)
    engine.dispose()

    assert differences == []


OLDER = ["0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009"]
"""The schema versions to upgrade from. 0001 is the schema of pixsearch 0.1.0."""


def library_of_version(version: str, folder: Path) -> None:
    """Create a library with a photo at an older schema version."""
    folder.mkdir()
    connection = sqlite3.connect(folder / "library.db")
    engine = sqlalchemy.create_engine("sqlite://", creator=lambda: connection, poolclass=sqlalchemy.StaticPool)
    with engine.begin() as alchemy:
        migrations.upgrade(alchemy, min(version, "0008"))
    with connection:
        connection.executescript(
            """
            INSERT INTO models VALUES (1, 'aa', 'some model', 3);
            INSERT INTO roots (id, path, online) VALUES (1, CAST('/photos' AS BLOB), 1);
            INSERT INTO contents (id, digest, size_bytes, format, width, height, camera, title)
                VALUES (1, x'01', 10, 'JPEG', 4, 3, 'Canon', 'Harbour');
            INSERT INTO photos (id, root_id, path, size_bytes, mtime_ns, content_id)
                VALUES (1, 1, CAST('/photos/a.jpg' AS BLOB), 10, 20, 1);
            INSERT INTO features VALUES (1, 1, x'0000803f0000000000000000');
            INSERT INTO grids VALUES (1, 1, x'01');
            UPDATE vector_index SET model_id = 1, generation = 5;
            """
        )
        if version >= "0003":
            connection.execute("INSERT INTO texts (text) VALUES ('Harbour')")
            connection.execute(
                "INSERT INTO text_files (id, path, size_bytes, mtime_ns) VALUES (1, CAST('/texts.txt' AS BLOB), 1, 2)"
            )
    if version > "0008":  # later versions add checksums to rows
        with engine.begin() as alchemy:
            migrations.upgrade(alchemy, version)
    engine.dispose()


@pytest.mark.parametrize("version", OLDER)
def test_a_library_of_a_version_before_is_brought_up_to_date_and_was_copied_first(tmp_path: Path, version: str) -> None:
    library_of_version(version, tmp_path / "library")
    before = sqlite3.connect(tmp_path / "library" / "library.db").execute("SELECT * FROM contents").fetchall()

    with Library.open(tmp_path / "library") as library:
        [candidate] = library.candidates([1])
        roots, text_files = library.roots(), library.text_files()
        neighbours = library.vectors().ids().tolist()
        saying = [
            library.contents_saying([(word, word + b"\0")], 9).tolist() for word in (b"harbour", b"canon", b"port")
        ]
        with library.writing() as writer:
            writer.use_model(LibraryModel("aa", "some model", 3))
            texts = [text for _, text in writer.texts_to_encode(10)]

    assert candidate.paths == (Path("/photos/a.jpg"),)
    assert candidate.metadata == Metadata("JPEG", 4, 3, camera="Canon", title="Harbour")
    assert roots == {b"/photos": ScanRules()}
    assert neighbours == [1]
    assert saying == [[1], [1], []]
    assert texts == ["Harbour"]
    assert text_files == ({b"/texts.txt": KnownTextFile(FileStamp(1, 2), failed=False)} if version >= "0003" else {})
    backup = sqlite3.connect(tmp_path / "library" / f"library.db.before-{SCHEMA_VERSION}")
    assert backup.execute("SELECT version_num FROM alembic_version").fetchall() == [(version,)]
    assert backup.execute("SELECT * FROM contents").fetchall() == before


def test_what_an_older_pixsearch_could_not_read_is_tried_again_and_all_metadata_are_read_again(tmp_path: Path) -> None:
    library_of_version("0007", tmp_path / "library")
    with sqlite3.connect(tmp_path / "library" / "library.db") as connection:
        values = "VALUES (1, 1, CAST('/photos/old.avif' AS BLOB), 10, 20, 'cannot be decoded', 0)"
        connection.execute(f"INSERT INTO failures {values}")

    with Library.open(tmp_path / "library") as library:
        [[failure]] = library.known_failures(b"/photos")
        [[photo]] = library.known_photos(b"/photos")

    assert failure == (b"/photos/old.avif", None, None, None)
    assert photo == (b"/photos/a.jpg", 10, 20, OUTDATED)


def test_pixel_grids_are_packed_anew_and_say_the_same_in_less_room(tmp_path: Path) -> None:
    library_of_version("0004", tmp_path / "library")
    file = tmp_path / "library" / "library.db"
    connection = sqlite3.connect(file)
    with connection:
        contents = "INSERT INTO contents (id, digest, size_bytes, format, width, height) VALUES (?, ?, 1, 'PNG', 1, 1)"
        connection.executemany(contents, [(id, bytes([id])) for id in range(2, 61)])
        connection.execute("UPDATE grids SET grid = ?", (struct.pack("<f", 2.0) + bytes([0, 255, 1, 0]),))
        mostly_zeros = struct.pack("<f", 1.0) + bytes([9, 0, 0, 0]) * 25_000
        connection.executemany("INSERT INTO grids VALUES (?, 1, ?)", [(id, mostly_zeros) for id in range(2, 61)])
        red = struct.pack("<3f", 1, 0, 0)
        connection.executemany("INSERT INTO features VALUES (?, 1, ?)", [(id, red) for id in range(2, 61)])
    connection.close()
    before = file.stat().st_size

    with Library.open(tmp_path / "library") as library:
        grids = library.grids([1, 60])

    assert unpack_grids([grids[1]], 2)[0].tolist() == [[[0, 510], [2, 0]]]
    assert unpack_grids([grids[60]], 4)[0][0].tolist() == [[9, 0, 0, 0]] * 25_000
    assert file.stat().st_size < 0.45 * before


def test_an_update_names_the_towns_of_coordinates_and_leaves_what_was_damaged_so(tmp_path: Path) -> None:
    library_of_version("0009", tmp_path / "library")
    with sqlite3.connect(tmp_path / "library" / "library.db") as connection:
        values = "'JPEG', 4, 3, NULL, NULL, NULL, NULL, 35.0394, 135.7292, NULL, NULL"
        connection.execute(
            "INSERT INTO contents (id, digest, size_bytes, format, width, height, taken_at, date_kind, camera, lens,"
            f" latitude, longitude, title, caption) VALUES (2, x'02', 10, {values})"
        )
        row: tuple[object, ...] = (
            b"\x02",
            10,
            "JPEG",
            4,
            3,
            None,
            None,
            None,
            None,
            35.0394,
            135.7292,
            None,
            None,
            [],
            [],
            None,
            None,
            None,
        )
        crc = zlib.crc32(ascii((*row, 1.0)).encode())
        connection.execute("UPDATE contents SET checksum = ? WHERE id = 2", (crc - (crc >> 31 << 32),))
        connection.execute("UPDATE contents SET width = 5 WHERE id = 1")

    with Library.open(tmp_path / "library") as library:
        places = dict(sqlite3.connect(library.folder / "library.db").execute("SELECT id, place FROM contents"))
        problems = verify(library).problems

    assert places == {1: None, 2: "Kyoto, Japan"}
    assert "the metadata of content 1 is damaged" in problems
    assert not any("content 2" in problem for problem in problems)


def test_numbers_that_cannot_be_are_none_after_an_update_and_what_makes_no_sense_is_damaged(tmp_path: Path) -> None:
    library_of_version("0008", tmp_path / "library")
    connection = sqlite3.connect(tmp_path / "library" / "library.db")
    with connection:
        connection.execute("UPDATE contents SET latitude = -9e999, longitude = 8, rating = 77, share_decoded = 9e999")
        contents = "INSERT INTO contents (id, digest, size_bytes, format, width, height, latitude, longitude, taken_at)"
        connection.execute(f"{contents} VALUES (2, x'02', 10, 'JPEG', 4, 3, -45.5, 170.25, '2021-03-04T05:06:07')")
        connection.execute(f"{contents} VALUES (3, x'03', 10, 'JPEG', 4, 3, 1, 2, 'some day')")
        photos = "INSERT INTO photos (root_id, path, size_bytes, mtime_ns, content_id) VALUES (1, ?, 10, 20, ?)"
        connection.executemany(photos, [(b"/photos/b.jpg", 2), (b"/photos/c.jpg", 3)])
        features = [(2, struct.pack("<3f", 0, 1, 0)), (3, struct.pack("<3f", 0, 0, 1))]
        connection.executemany("INSERT INTO features VALUES (?, 1, ?)", features)
    connection.close()
    told: list[str] = []

    with Library.open(tmp_path / "library", told.append) as library:
        healed, sound = (candidate.metadata for candidate in library.candidates([1, 2, 3]))
        problems = library.check().rows

    assert (healed.latitude, healed.longitude, healed.rating, healed.share_decoded) == (None, None, None, 1.0)
    assert (sound.latitude, sound.longitude, sound.taken_at) == (-45.5, 170.25, datetime(2021, 3, 4, 5, 6, 7))
    assert "the metadata of content 3 is damaged" in problems
    assert told == [f"Updating {tmp_path}/library for this version of pixsearch: 3 photos, up to 1 min"]


def test_the_checksums_of_an_update_are_those_of_rows_that_are_written_anew(tmp_path: Path) -> None:
    library_of_version("0008", tmp_path / "library")
    grid = struct.pack("<fI", 1.0, 8) + bytes([0b10000000, 9])
    with sqlite3.connect(tmp_path / "library" / "library.db") as connection:
        connection.execute("UPDATE grids SET grid = ?", (grid,))

    with Library.open(tmp_path / "library") as library:
        assert library.check().rows == []
        assert library.grids([1]) == {1: grid}


def test_an_older_library_that_cannot_be_written_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    library_of_version("0001", tmp_path / "library")
    before = (tmp_path / "library" / "library.db").read_bytes()

    with files_no_larger_than(len(before) // 2), pytest.raises(LibraryError):
        Library.open(tmp_path / "library")

    assert (tmp_path / "library" / "library.db").read_bytes() == before
    with Library.open(tmp_path / "library") as library:
        assert library.status().photos == 1


def test_the_copy_of_an_older_library_is_written_over_nobodys_file(tmp_path: Path) -> None:
    library_of_version("0001", tmp_path / "library")
    precious, backup = tmp_path / "precious", tmp_path / "library" / f"library.db.before-{SCHEMA_VERSION}"
    precious.write_bytes(b"precious")
    backup.symlink_to(precious)
    backup.with_name(f"{backup.name}.tmp").symlink_to(precious)

    Library.open(tmp_path / "library").close()

    assert precious.read_bytes() == b"precious"
    assert backup.read_bytes().startswith(b"SQLite format 3")
    assert stat.S_IMODE(backup.stat().st_mode) == stat.S_IMODE((tmp_path / "library" / "library.db").stat().st_mode)


def test_the_newest_revision_is_the_one_the_code_asks_for() -> None:
    assert ScriptDirectory(migrations.__path__[0]).get_current_head() == SCHEMA_VERSION
