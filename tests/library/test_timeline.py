"""The timeline: newest first, then photos without a date by folder, with each picture once."""

from __future__ import annotations

import os
import random
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from pixsearch import Filters, Library
from pixsearch.filters import NO_FILTERS
from pixsearch.library import timeline
from pixsearch.library.records import IndexedFile
from pixsearch.metadata import Description, Layer, Metadata
from pixsearch.storage import FileStamp
from tests.library.described_photos import ROOT, Colour, store

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


def taken(*when: int) -> Metadata:
    return Metadata("PNG", 8, 8, taken_at=datetime(*when), date_kind="taken")  # type: ignore[arg-type]


UNDATED = Metadata("PNG", 8, 8)


def parts(library: Library, filters: Filters = NO_FILTERS) -> list[tuple[str, int]]:
    """Return the day or folder of each part, and its number of pictures."""
    return [(day or str(folder), count) for day, folder, _, count in library.timeline(filters)]


def names(library: Library, start: int | None = None, count: int = 100, filters: Filters = NO_FILTERS) -> list[str]:
    pictures = library.timeline_pictures(start, count, filters)
    assert pictures is not None
    return [picture.paths[0].name for picture in pictures]


def test_days_descend_and_photos_without_a_date_come_last_folder_by_folder(library: Library) -> None:
    store(
        library,
        [
            ("b/undated.png", RED, UNDATED),
            ("a/undated.png", GREEN, UNDATED),
            ("old.png", RED, taken(2019, 5, 1, 8)),
            ("noon.png", RED, taken(2021, 3, 15, 12)),
            ("morning.png", RED, taken(2021, 3, 15, 9, 30)),
        ],
    )

    assert parts(library) == [("2021-03-15", 2), ("2019-05-01", 1), (str(ROOT / "a"), 1), (str(ROOT / "b"), 1)]
    pictures = library.timeline_pictures(None, 100)
    assert [str(picture.paths[0]).removeprefix(f"{ROOT}/") for picture in pictures or ()] == [
        "noon.png",
        "morning.png",
        "old.png",
        "a/undated.png",
        "b/undated.png",
    ]


def test_a_day_is_that_of_the_clock_where_the_photo_was_taken(library: Library) -> None:
    in_tokyo = datetime(2021, 3, 15, 0, 30, tzinfo=timezone(timedelta(hours=9)))
    store(library, [("a.png", RED, Metadata("PNG", 8, 8, taken_at=in_tokyo, date_kind="taken"))])

    assert parts(library) == [("2021-03-15", 1)]


def test_each_part_says_from_which_picture_on_it_can_be_had(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "MOST_IN_PART", 2)
    store(library, [(f"{hour:02}.png", RED, taken(2021, 3, 15, hour)) for hour in range(5)])

    assert [count for *_, count in library.timeline()] == [2, 2, 1]
    assert [names(library, first, count) for _, _, first, count in library.timeline()] == [
        ["04.png", "03.png"],
        ["02.png", "01.png"],
        ["00.png"],
    ]


def test_copies_are_one_picture_where_the_newest_of_them_stands(library: Library) -> None:
    store(library, [("a.png", RED, UNDATED), ("b.png", RED, UNDATED), ("c.png", BLUE, taken(2020, 1, 1))])
    beside: dict[Layer, Description] = {"sidecar": Description(taken_at=datetime(2021, 3, 15), date_kind="taken")}
    with library.writing() as writer:
        root, _ = writer.root_of(os.fsencode(ROOT))
        digest = repr((RED, UNDATED)).encode()
        writer.store(root, [], [IndexedFile(os.fsencode(ROOT / "b.png"), FileStamp(2, 2), digest, beside=beside)], [])

    assert parts(library) == [("2021-03-15", 1), ("2020-01-01", 1)]
    assert [len(picture.paths) for picture in library.timeline_pictures(None, 9) or ()] == [2, 1]

    with library.writing() as writer:
        writer.forget([os.fsencode(ROOT / "b.png")])

    assert parts(library) == [("2020-01-01", 1), (str(ROOT), 1)]


def test_filters_leave_out_what_does_not_pass(library: Library) -> None:
    canon = Metadata("PNG", 8, 8, taken_at=datetime(2021, 3, 15), date_kind="taken", camera="Canon EOS R6")
    store(library, [("a.png", RED, canon), ("b.png", BLUE, taken(2021, 3, 15)), ("c/d.png", GREEN, UNDATED)])

    assert parts(library, Filters(camera="canon")) == [("2021-03-15", 1)]
    assert names(library, filters=Filters(camera="canon")) == ["a.png"]
    assert parts(library, Filters(folders=(ROOT / "c",))) == [(str(ROOT / "c"), 1)]
    assert names(library, filters=Filters(folders=(ROOT / "c",))) == ["d.png"]


def test_of_copies_the_one_that_passes_is_shown(library: Library) -> None:
    store(library, [("a/one.png", RED, UNDATED), ("b/two.png", RED, UNDATED)])

    assert names(library, filters=Filters(folders=(ROOT / "b",))) == ["two.png"]


def test_a_picture_that_is_not_there_starts_nothing(library: Library) -> None:
    store(library, [("a.png", RED, taken(2021, 3, 15))])

    assert library.timeline_pictures(99, 10) is None


def test_an_empty_library_has_no_timeline(library: Library) -> None:
    assert library.timeline() == []
    assert library.timeline_pictures(None, 10) == []


@pytest.mark.parametrize("seed", range(10))
def test_pages_from_any_picture_on_are_those_of_the_whole(
    library: Library, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MOST_IN_PART", "_READ_FOR_PARTS", "_READ_FOR_PICTURES"):
        monkeypatch.setattr(timeline, name, 3)
    drawn = random.Random(seed)
    photos: list[tuple[str, Colour, Metadata]] = []
    for number in range(30):
        metadata = taken(2021, 1, drawn.randint(1, 4), drawn.randint(0, 2)) if drawn.random() < 0.7 else UNDATED
        photos.append((f"{drawn.choice('abc')}/{number}.png", (1 + drawn.randrange(4), 0, 0), metadata))
    store(library, photos)

    # Copies share their content's date here, so only copies without a date appear separately.
    newest_first = sorted(
        {(metadata.taken_at, colour) for _, colour, metadata in photos if metadata.taken_at},
        key=lambda one: one[0] or datetime.min,
        reverse=True,
    )
    dates = [when for when, _ in newest_first]
    folders = sorted(
        min(
            str(ROOT / name.partition("/")[0])
            for name, its, metadata in photos
            if metadata == UNDATED and its == colour
        )
        for colour in {colour for _, colour, metadata in photos if metadata == UNDATED}
    )
    whole = library.timeline_pictures(None, 100) or []
    assert [picture.metadata and picture.metadata.taken_at for picture in whole] == [*dates, *[None] * len(folders)]
    counted = dict.fromkeys([f"{when:%Y-%m-%d}" for when in dates if when] + folders, 0)
    for label in [f"{when:%Y-%m-%d}" for when in dates if when] + folders:
        counted[label] += 1
    found: dict[str, int] = {}
    for label, count in parts(library):
        found[label] = found.get(label, 0) + count
    assert list(found.items()) == list(counted.items())
    ids = [picture.content_id for picture in whole]
    for index, start in enumerate(ids):
        page = library.timeline_pictures(start, 7) or []
        assert [picture.content_id for picture in page] == ids[index : index + 7]


def test_a_folder_whose_name_is_no_text_has_its_part(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library:
        store(library, [("a.png", RED, UNDATED)], root=Path(os.fsdecode(b"/photos/\xff")))

        assert [os.fsencode(str(folder)) for _, folder, _, _ in library.timeline()] == [b"/photos/\xff"]


def test_a_library_of_before_has_its_timeline_after_the_update(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library:
        store(library, [("a.png", RED, taken(2021, 3, 15)), ("b.png", BLUE, UNDATED)])
    with sqlite3.connect(tmp_path / "library" / "library.db") as database:
        database.execute("DELETE FROM postings WHERE substr(term, 1, 1) IN (x'40', x'7E')")
        database.execute("UPDATE alembic_version SET version_num = '0010'")
    database.close()

    with Library.open(tmp_path / "library") as library:
        assert parts(library) == [("2021-03-15", 1), (str(ROOT), 1)]


def test_of_an_index_that_cannot_be_read_what_is_readable_is_shown_and_the_damage_told(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library:
        store(library, [(f"{day:03}.png", RED, taken(2021, 1, 1 + day % 28, day // 28)) for day in range(600)])
    file = tmp_path / "library" / "library.db"
    with sqlite3.connect(file) as database:
        pages = database.execute(
            "SELECT pageno FROM dbstat WHERE name = 'ix_postings_term_content_id' AND pagetype = 'leaf'"
        ).fetchall()
        size = database.execute("PRAGMA page_size").fetchone()[0]
    database.close()
    data = bytearray(file.read_bytes())
    for (page,) in pages:
        data[(page - 1) * size : page * size] = b"\xa5" * size
    file.write_bytes(data)

    with Library.open(tmp_path / "library") as library:
        assert library.timeline() == []
        assert library.timeline_pictures(None, 10) == []
        assert len(library.damage()) == 1
