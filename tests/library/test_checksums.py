"""Test that damage to any value in any table is detected, and that damaged rows are left out."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from sqlalchemy import JSON, Table
from sqlalchemy.exc import DatabaseError

from pixsearch import Library, Picture, Query, SearchEngine, Words
from pixsearch.database.checksums import SEALED, checksum
from pixsearch.database.rows import Damage, in_halves
from pixsearch.database.schema import GRIDS, METADATA
from pixsearch.errors import LibraryDamaged
from pixsearch.storage import FileStamp
from pixsearch_indexer import index_folders
from pixsearch_indexer.verify import repair, verify
from tests.colour_runtime import ColourRuntime
from tests.database import SQLITE_ONLY, sql
from tests.loading import load_in_this_process
from tests.photos import make_photo, picture_bytes
from tests.unsuitable_files import in_time

TITLED = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Harbour</dc:title></rdf:Description>'
    "</rdf:RDF></x:xmpmeta>"
)


@pytest.fixture
def full(library: Library, runtime: ColourRuntime, photos: Path, tmp_path: Path) -> Library:
    """Return a library with a row in every table: photos, one of them with a sidecar, a failure, and texts."""
    for colour in ("red", "lime", "blue"):
        make_photo(photos / f"{colour}.png", colour)
    (photos / "red.xmp").write_text(TITLED)
    (photos / "broken.png").write_bytes(b"no picture")
    (tmp_path / "texts.txt").write_text("all green\nall blue\n")
    index_folders(library, runtime, [photos, tmp_path / "texts.txt"], load_files=load_in_this_process)
    return library


def found(library: Library) -> tuple[list[str], int]:
    """Return the names of the photos that a query finds, and the number of rows left out."""
    with Library.open(library.location) as opened:
        hits = SearchEngine(opened, ColourRuntime()).search(Query((Words("red"),)), 10)
        return sorted(hit.path.name for hit in hits), len(opened.damage())


def texts_found(library: Library) -> tuple[list[str], int]:
    with Library.open(library.location) as opened:
        hits = SearchEngine(opened, ColourRuntime()).find_texts(Query((Picture(picture_bytes("red")),)), 10)
        return sorted(hit.text for hit in hits), len(opened.damage())


def test_a_checksum_is_the_crc_of_the_values_as_ascii_and_of_a_long_one_as_it_is() -> None:
    assert checksum((1, "\N{BEER MUG}", None, b"\xff", 0.5)) == signed(
        crc32(b"(1, '\\U0001f37a', None, b'\\xff', 0.5)")
    )
    assert checksum((1, 2, b"long"), 2) == signed(crc32(b"long", crc32(b"(1, 2)")))


def signed(crc: int) -> int:
    return crc if crc < 1 << 31 else crc - (1 << 32)


@SQLITE_ONLY
def test_a_checksum_takes_at_most_8_bytes_a_row(full: Library) -> None:
    """In SQLite, it takes 1 byte for the type and 4 for the number (https://sqlite.org/fileformat2.html#record_format)."""
    for table in METADATA.sorted_tables:
        for column in [column.name for column in table.c if column.name.endswith("checksum")]:
            for [kind, number] in sql(full, f"SELECT typeof({column}), {column} FROM {table.name}"):
                assert (kind, -(1 << 31) <= number < 1 << 31) == ("integer", True)


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        ("UPDATE contents SET width = width + 1 WHERE id = ?", ["blue.png", "lime.png"]),
        ("UPDATE contents SET share_decoded = 0.25 WHERE id = ?", ["blue.png", "lime.png"]),
        ("UPDATE photos SET mtime_ns = mtime_ns + 1 WHERE content_id = ?", ["blue.png", "lime.png"]),
        ("UPDATE descriptions SET title = 'Harbours' WHERE photo_id = ?", ["blue.png", "lime.png"]),
        ("UPDATE features SET checksum = checksum + 1 WHERE content_id = ?", ["blue.png", "lime.png"]),
        ("UPDATE grids SET grid = CAST('' AS {bytes}) WHERE content_id = ?", ["blue.png", "lime.png"]),
    ],
)
def test_a_query_leaves_out_a_photo_whose_row_is_damaged_and_answers_with_the_rest(
    full: Library, photos: Path, runtime: ColourRuntime, damage: str, left: list[str]
) -> None:
    [[content_id]] = sql(full, "SELECT content_id FROM photos WHERE path = ?", bytes(photos / "red.png"))
    if "descriptions" in damage:
        [[content_id]] = sql(full, "SELECT photo_id FROM descriptions")
    sql(full, damage.format(bytes="BLOB" if isinstance(full.location, Path) else "bytea"), content_id)

    assert found(full) == (left, 1)
    assert len(verify(full).rows) == 1
    assert repair(full)[1].problems == []
    index_folders(full, runtime, [photos], load_files=load_in_this_process)
    assert found(full) == (["blue.png", "lime.png", "red.png"], 0)
    assert verify(full).problems == []


@pytest.mark.parametrize(
    "damage", ["texts SET text = 'all grey'", "text_features SET checksum = checksum + 1", "text_lines SET line = 7"]
)
def test_a_search_for_texts_leaves_out_what_is_damaged(
    full: Library, photos: Path, runtime: ColourRuntime, damage: str
) -> None:
    assert texts_found(full) == (["Harbour", "all blue", "all green"], 0)
    [[text_id]] = sql(full, "SELECT id FROM texts WHERE text = 'all green'")
    sql(full, f"UPDATE {damage} WHERE {'id' if 'texts' in damage else 'text_id'} = ?", text_id)

    assert texts_found(full) == (["Harbour", "all blue"], 1)
    assert len(verify(full).rows) == 1
    assert repair(full)[1].problems == []
    index_folders(full, runtime, [photos], load_files=load_in_this_process)
    assert texts_found(full) == (["Harbour", "all blue", "all green"], 0)


@pytest.mark.parametrize("table", [table for table in SEALED if table is not GRIDS], ids=lambda table: table.name)
def test_a_change_of_any_value_is_found_and_mended(
    full: Library, photos: Path, runtime: ColourRuntime, table: Table, tmp_path: Path
) -> None:
    [key, *_] = table.primary_key
    for column in table.c:
        if column.primary_key or column.foreign_keys:
            continue
        assert verify(full).problems == []
        values = {"BLOB": "CAST('x' AS BLOB)", "VARCHAR": "'x'", "JSON": "'[\"x\"]'", "BOOLEAN": f"NOT {column.name}"}
        value = values.get("JSON" if isinstance(column.type, JSON) else str(column.type), "12345")
        if not isinstance(full.location, Path):
            value = value.replace("AS BLOB", "AS bytea")
        first = f"(SELECT min({key.name}) FROM {table.name})"
        sql(full, f"UPDATE {table.name} SET {column.name} = {value} WHERE {key.name} = {first}")

        assert any("damaged" in problem for problem in verify(full).rows), column.name
        assert repair(full)[1].problems == []
        index_folders(full, runtime, [photos, tmp_path / "texts.txt"], load_files=load_in_this_process)
    assert found(full) == (["blue.png", "lime.png", "red.png"], 0)


def test_a_photo_with_a_damaged_content_is_a_failure_that_names_the_repair(
    full: Library, photos: Path, runtime: ColourRuntime
) -> None:
    sql(full, "UPDATE contents SET width = 99")
    make_photo(photos / "again" / "blue.png", "blue")

    report = index_folders(full, runtime, [photos], load_files=load_in_this_process)

    assert report.failed == 2
    assert any("run pixsearch repair" in failure.reason for failure in full.failures())


def test_the_photos_of_a_damaged_folder_stay(full: Library, photos: Path) -> None:
    sql(full, "UPDATE roots SET hidden = NOT hidden")

    repair(full)

    assert list(full.roots()) == [bytes(photos)]
    assert full.status().photos == 3


@SQLITE_ONLY
@pytest.mark.parametrize("column", ["keywords", "people"])
@pytest.mark.parametrize("rot", ["{bad", "", "\x00", "9e999999", "[1"])
def test_what_is_no_json_any_more_is_damage_and_mended(full: Library, column: str, rot: str) -> None:
    sql(full, f"UPDATE contents SET {column} = ? WHERE id = 1", rot)

    assert "the metadata of content 1 is damaged" in verify(full).problems
    assert found(full)[1] == 1
    repair(full)
    assert verify(full).problems == []


@SQLITE_ONLY
def test_a_pipe_in_the_place_of_the_journal_is_one_line(full: Library) -> None:
    assert isinstance(full.location, Path)
    os.mkfifo(full.location / "library.db-journal")

    with (
        in_time(),
        pytest.raises(LibraryDamaged, match=r"library\.db-journal is not a regular file\. Move the file elsewhere"),
    ):
        Library.open(full.location)


def test_rows_that_cannot_be_read_cost_no_others() -> None:
    damage = Damage()
    malformed = sqlite3.DatabaseError("database disk image is malformed")
    malformed.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def read(keys: object) -> list[int]:
        assert isinstance(keys, range)
        if 7 in keys or 90 in keys:
            raise DatabaseError("SELECT", {}, malformed)
        return list(keys)

    assert in_halves(range(100), read, lambda key: damage.note("photos", key)) == sorted({*range(100)} - {7, 90})
    assert len(damage) == 2


def test_vectors_that_were_made_of_damaged_rows_are_not_saved_so_that_every_query_says_so(full: Library) -> None:
    if not isinstance(full.location, Path):
        pytest.skip("a service has its own vectors")
    sql(full, "UPDATE features SET embedding = ? WHERE content_id = 2", np.array([0, 0, 1], "<f4").tobytes())
    for file in full.folder.glob("vectors-*"):
        file.unlink()

    assert found(full)[1] == found(full)[1] == 1
    assert list(full.folder.glob("vectors-*")) == []


def test_a_time_that_no_database_holds_is_the_last_that_one_does(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    photo = make_photo(photos / "a.png")
    os.utime(photo, (1e11, 1e11))
    if photo.stat().st_mtime_ns < 1 << 63:
        pytest.skip("this drive has no such times")

    index_folders(library, runtime, [photos], load_files=load_in_this_process)
    again = index_folders(library, runtime, [photos], load_files=load_in_this_process)

    assert again.unchanged == 1
    assert library.picture(1) is not None
    assert library.picture(1).photos[0][1] == FileStamp(photo.stat().st_size, (1 << 63) - 1)  # type: ignore[union-attr]
