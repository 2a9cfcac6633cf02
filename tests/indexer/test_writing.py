"""Reading text in pictures: the order and the results, with a reader that knows the text."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from pixsearch import Library
from pixsearch.database.schema import PHOTOS
from pixsearch.errors import Interrupted, LibraryBusy, PixsearchError
from pixsearch.filters import NO_FILTERS
from pixsearch.library import library as library_module
from pixsearch.library.records import StoredPicture
from pixsearch.progress import Progress
from pixsearch_indexer import IndexOptions, IndexReport, index_folders, writing
from pixsearch_indexer.ocr import NotRead
from pixsearch_indexer.watch import watch
from tests.colour_runtime import ColourRuntime
from tests.database import put
from tests.loading import load_in_this_process
from tests.photos import make_photo
from tests.reading import KnownWriting, then

Index = Callable[..., IndexReport]

SIGN = ("NO LITTER", "Please take it home")


@pytest.fixture
def index(library: Library, runtime: ColourRuntime) -> Index:
    """A function that updates the library from folders, without child processes."""

    def run(
        *folders: Path, read: writing.ReadPictures | None, ocr: bool | None = True, **options: object
    ) -> IndexReport:
        return index_folders(
            library,
            runtime,
            list(folders),
            options=IndexOptions(ocr=ocr, **options),  # type: ignore[arg-type]
            load_files=load_in_this_process,
            read_pictures=read,
        )

    return run


@pytest.fixture
def signs(photos: Path) -> Path:
    """Three photos: a sign, and two without text."""
    for number, name in enumerate(("sign.png", "sea.png", "sky.png")):
        os.utime(make_photo(photos / name, (50 + number, 0, 0)), (1e9 + number, 1e9 + number))
    return photos


@pytest.fixture
def reader() -> KnownWriting:
    return KnownWriting({"sign.png": SIGN})


def written(library: Library) -> dict[str, tuple[str, ...] | None]:
    """Return the text in each photo in the library, by name."""
    ids = library.passing(NO_FILTERS)
    pictures = library.pictures(ids).values()
    return {photo.path.name: photo.metadata.writing for picture in pictures for photo in picture.photos}


def let_read(library: Library, folder: Path, index: Index) -> None:
    """Index a folder with OCR enabled, without reading its pictures."""
    index(folder, read=None)
    assert library.status().roots[0].unread == 3


def test_what_is_written_in_pictures_is_known_when_a_run_with_ocr_is_done(
    library: Library, index: Index, signs: Path, reader: KnownWriting
) -> None:
    report = index(signs, read=reader)

    assert (report.encoded, report.read, report.unread) == (3, 3, 0)
    assert written(library) == {"sign.png": SIGN, "sea.png": (), "sky.png": ()}
    assert not library.check().problems


def test_a_folder_remembers_whether_its_pictures_are_read(
    library: Library, index: Index, signs: Path, reader: KnownWriting
) -> None:
    assert index(signs, read=reader, ocr=None).read == 0
    assert index(signs, read=reader, ocr=True).read == 3
    make_photo(signs / "new.png", "blue")
    assert index(signs, read=reader, ocr=None).read == 1
    make_photo(signs / "newer.png", "green")
    assert index(signs, read=reader, ocr=False).read == 0
    assert index(signs, read=reader, ocr=None).read == 0

    assert written(library)["sign.png"] == SIGN  # the text already read remains
    assert written(library)["newer.png"] is None


def test_no_picture_is_read_twice(library: Library, index: Index, signs: Path, reader: KnownWriting) -> None:
    index(signs, read=reader)
    shutil.copy(signs / "sign.png", signs / "copy.png")
    (signs / "sea.png").rename(signs / "ocean.png")
    os.utime(signs / "sky.png")

    report = index(signs, read=reader)

    assert (report.read, len(reader.read)) == (0, 3)
    assert written(library) == {"sign.png": SIGN, "copy.png": SIGN, "ocean.png": (), "sky.png": ()}


def test_copies_that_come_together_are_read_once(index: Index, signs: Path, reader: KnownWriting) -> None:
    shutil.copy(signs / "sign.png", signs / "copy.png")

    assert index(signs, read=reader).read == 3


def test_what_was_read_stays_when_a_photo_moves_to_a_folder_that_is_not_read(
    library: Library, index: Index, signs: Path, reader: KnownWriting, tmp_path: Path
) -> None:
    index(signs, read=reader)
    (tmp_path / "other").mkdir()
    (signs / "sign.png").rename(tmp_path / "other" / "moved.png")

    index(signs, tmp_path / "other", read=reader, ocr=None)

    assert written(library)["moved.png"] == SIGN


def test_what_was_read_stays_when_all_is_encoded_by_another_model_and_when_metadata_are_read_again(
    library: Library, index: Index, signs: Path, reader: KnownWriting
) -> None:
    index(signs, read=reader)
    put(library, PHOTOS, PHOTOS.c.id > 0, metadata_version=0)
    described = index(signs, read=reader)
    other = ColourRuntime("d1" * 32)
    switched = index_folders(library, other, [signs], options=IndexOptions(switch_model=True), read_pictures=reader)

    assert (described.described, switched.encoded) == (3, 3)
    assert (written(library)["sign.png"], len(reader.read)) == (SIGN, 3)


def test_the_newest_photo_is_read_first_by_the_date_it_was_taken_or_else_that_of_its_file(
    index: Index, photos: Path, reader: KnownWriting
) -> None:
    exif = Image.Exif()
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: "2019:05:01 12:00:00"}
    Image.new("RGB", (8, 8), "red").save(photos / "taken 2019.png", exif=exif)
    for year, colour in ((2018, "green"), (2020, "blue"), (2017, "white")):
        file = make_photo(photos / f"file of {year}.png", colour)
        seconds = time.mktime((year, 7, 1, 12, 0, 0, 0, 0, -1))
        os.utime(file, (seconds, seconds))

    index(photos, read=reader)

    assert reader.read == ["file of 2020.png", "taken 2019.png", "file of 2018.png", "file of 2017.png"]


def test_of_many_pictures_those_that_look_like_documents_are_read_first_and_of_them_the_newest(
    index: Index, photos: Path, reader: KnownWriting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MANY", 20)
    monkeypatch.setattr(writing, "DOCUMENTS", "blue")  # the test model considers them documents
    for number in range(20):
        colour = (number, 0, 200) if number in (3, 11) else (100 + number, number, 0)
        os.utime(make_photo(photos / f"{number}.png", colour), (1e9 + number, 1e9 + number))

    index(photos, read=reader)

    others = [number for number in reversed(range(20)) if number not in (3, 11)]
    assert reader.read == [f"{number}.png" for number in (11, 3, *others)]


def test_only_pictures_of_the_folders_of_a_run_are_read(
    index: Index, signs: Path, reader: KnownWriting, tmp_path: Path
) -> None:
    make_photo(signs / "inner" / "inner.png", "blue")
    make_photo(tmp_path / "second" / "second.png", "green")
    (tmp_path / "texts.txt").write_text("a sign\n")
    index(signs, tmp_path / "second", read=KnownWriting(), ocr=None)

    index(signs / "inner", read=reader)
    index(tmp_path / "texts.txt", read=reader)
    assert reader.read == ["inner.png"]
    index(signs, read=reader)
    assert sorted(reader.read) == ["inner.png", "sea.png", "sign.png", "sky.png"]


def test_all_is_searchable_and_the_library_free_before_the_first_picture_is_read(
    library: Library, index: Index, signs: Path, reader: KnownWriting
) -> None:
    found = list[int]()

    def look() -> None:
        with Library.open(library.location) as other, other.writing():
            found.append(len(other.vectors()))
            last_run = other.status().last_run
            assert last_run is not None
            assert last_run.finished is not None

    index(signs, read=then(reader, 1, look))

    assert found == [3]


def test_what_was_read_is_kept_when_somebody_stops_it_and_the_next_run_reads_the_rest(
    library: Library, index: Index, signs: Path, reader: KnownWriting
) -> None:
    stopped = then(reader, 2, lambda: os.kill(os.getpid(), signal.SIGINT))

    with pytest.raises(Interrupted, match="all photos are indexed, and the text of 2 of 3 pictures is kept"):
        index(signs, read=stopped)

    assert sum(lines is not None for lines in written(library).values()) == 2
    assert index(signs, read=reader).read == 1
    assert sorted(reader.read) == ["sea.png", "sign.png", "sky.png"]


def test_what_was_read_is_stored_every_few_seconds(
    library: Library, index: Index, signs: Path, reader: KnownWriting, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert writing.STORE_EVERY_S <= 5
    monkeypatch.setattr(writing, "STORE_EVERY_S", 0.0)

    def die() -> None:
        raise PixsearchError("as by a kill")

    with pytest.raises(PixsearchError, match="as by a kill"):
        index(signs, read=then(reader, 3, die))

    assert written(library) == {"sky.png": (), "sea.png": (), "sign.png": None}


def test_what_was_read_waits_for_another_process_that_writes(
    library: Library, index: Index, signs: Path, reader: KnownWriting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "STORE_EVERY_S", 0.0)
    monkeypatch.setattr(library_module, "_PATIENCE_S", 0.05)
    begun, enough = threading.Event(), threading.Event()

    def write() -> None:
        with Library.open(library.location) as other, other.writing():
            begun.set()
            enough.wait(10)

    thread = threading.Thread(target=write)

    def let_another_process_write() -> None:
        thread.start()
        assert begun.wait(10)
        threading.Timer(0.5, enough.set).start()

    report = index(signs, read=then(reader, 1, let_another_process_write))
    thread.join()

    assert (report.read, written(library)["sign.png"]) == (3, SIGN)


def test_a_writer_waits_for_one_that_only_commits_and_no_longer(library: Library) -> None:
    begun, enough = threading.Event(), threading.Event()

    def write() -> None:
        with Library.open(library.location) as other, other.writing():
            begun.set()
            enough.wait(10)

    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(10)
    with pytest.raises(LibraryBusy), library.writing():
        pass
    threading.Timer(0.2, enough.set).start()
    with library.writing():
        pass
    thread.join()


def test_a_picture_that_cannot_be_read_for_good_is_told_once_and_never_tried_again(
    library: Library, index: Index, signs: Path
) -> None:
    reader = KnownWriting({"sign.png": NotRead("its decoder crashed", for_good=True)})

    first, second = index(signs, read=reader), index(signs, read=reader)

    assert first.unreadable == (f"{signs / 'sign.png'}: its decoder crashed",)
    assert (first.read, second.read, second.unreadable) == (3, 0, ())
    assert written(library)["sign.png"] == ()


def test_a_picture_that_is_not_there_now_is_read_when_it_is_back(
    library: Library, index: Index, signs: Path, reader: KnownWriting
) -> None:
    away = KnownWriting({"sign.png": NotRead("the file no longer exists", for_good=False)})

    first = index(signs, read=away)
    assert (first.read, first.unread, first.unreadable) == (2, 1, ())
    assert library.status().roots[0].unread == 1

    assert index(signs, read=reader).read == 1
    assert written(library)["sign.png"] == SIGN


def test_pictures_of_a_folder_that_is_offline_are_not_tried(
    index: Index, signs: Path, reader: KnownWriting, tmp_path: Path, library: Library
) -> None:
    let_read(library, signs, index)
    signs.rename(tmp_path / "unplugged")

    index(read=reader, ocr=None)
    assert (reader.read, library.status().roots[0].unread) == ([], 3)
    (tmp_path / "unplugged").rename(signs)
    index(read=reader, ocr=None)
    assert len(reader.read) == 3


def test_what_another_process_has_read_meanwhile_is_not_read_again(
    library: Library, index: Index, signs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_LOOKED_UP", 1)
    index(signs, read=KnownWriting(), ocr=None)
    second, reader = KnownWriting({"sign.png": SIGN}), KnownWriting()

    index(signs, read=then(reader, 1, lambda: index(signs, read=second)))

    assert (reader.read, second.read) == (["sky.png"], ["sky.png", "sea.png", "sign.png"])
    assert written(library)["sign.png"] == SIGN


def test_progress_tells_how_many_pictures_there_are_to_read(
    library: Library, runtime: ColourRuntime, signs: Path, reader: KnownWriting
) -> None:
    steps: list[Progress] = []

    index_folders(
        library,
        runtime,
        [signs],
        steps.append,
        options=IndexOptions(ocr=True),
        load_files=load_in_this_process,
        read_pictures=reader,
    )

    reading = [(step.done, step.total) for step in steps if step.task == "reading text"]
    assert reading == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_watch_reads_when_nothing_else_is_to_do_and_what_changes_goes_first(
    library: Library, index: Index, signs: Path, runtime: ColourRuntime
) -> None:
    let_read(library, signs, index)
    requested, reports = list[str](), list[IndexReport]()

    def read(pictures: Iterable[StoredPicture], megapixels: int) -> writing.ReadSteps:
        """Read without end, until there is a new photo."""
        for picture in pictures:
            requested.append(picture.photos[0].path.name)
            yield picture, ()
            if not (signs / "new.png").exists():
                make_photo(signs / "new.png", "blue")
                while True:
                    time.sleep(0.01)
                    yield None

    def hear(report: IndexReport) -> None:
        reports.append(report)
        if report.read == 3:
            os.kill(os.getpid(), signal.SIGINT)

    watch(library, runtime, hear, read_pictures=read)

    assert [(report.encoded, report.read) for report in reports if report.encoded or report.read] == [
        (0, 1),  # stored when the new photo arrived
        (1, 0),
        (0, 3),
    ]
    assert requested == ["sky.png", "new.png", "sea.png", "sign.png"]
    assert set(written(library).values()) == {()}
