from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from pixsearch import Library
from pixsearch.errors import LibraryBusy, ModelMismatch, UsageError
from pixsearch.metadata import Metadata
from pixsearch.progress import Progress
from pixsearch_indexer import IndexOptions, IndexReport, index_folders, pipeline
from tests.colour_runtime import ColourRuntime
from tests.conftest import COLOURS, without_privileges
from tests.database import sql
from tests.photos import make_photo, noise_bytes, picture_bytes


def found_by(library: Library, colour: str) -> list[str]:
    """Return the names of the photos whose embedding equals that of a colour."""
    similarities, ids = library.vectors().search(ColourRuntime().embed_texts([colour]), 1)
    if not len(ids[0]) or similarities[0, 0] < 0.99:
        return []
    return [path.name for candidate in library.candidates(ids[0].tolist()) for path in candidate.paths]


def test_every_photo_is_encoded_and_found(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    for colour in COLOURS:
        make_photo(photos / "deep" / f"{colour}.png", colour)

    report = index_folders(library, runtime, [photos])

    assert report == IndexReport(found=5, encoded=5)
    assert runtime.prepared_for_pictures
    assert found_by(library, "blue") == ["blue.png"]


def test_a_second_run_encodes_nothing(indexed: Library, runtime: ColourRuntime, photos: Path) -> None:
    report = index_folders(indexed, runtime, [photos])

    assert report == IndexReport(found=5, unchanged=5)
    assert runtime.pictures_encoded == 0


def test_a_renamed_photo_is_not_encoded_again(indexed: Library, runtime: ColourRuntime, photos: Path) -> None:
    (photos / "red.png").rename(photos / "rouge.png")

    report = index_folders(indexed, runtime, [photos])

    assert report == IndexReport(found=5, unchanged=4, reused=1, forgotten=1)
    assert (runtime.pictures_encoded, runtime.prepared_for_pictures) == (0, False)
    assert found_by(indexed, "red") == ["rouge.png"]


def test_a_folder_moved_to_another_root_is_not_encoded_again(
    indexed: Library, runtime: ColourRuntime, photos: Path, tmp_path: Path
) -> None:
    make_photo(photos / "stays.png", "white")
    index_folders(indexed, runtime, [photos])
    runtime.pictures_encoded = 0
    (tmp_path / "other").mkdir()
    for colour in COLOURS:
        shutil.move(photos / f"{colour}.png", tmp_path / "other")

    report = index_folders(indexed, runtime, [photos, tmp_path / "other"])

    assert (report.reused, report.forgotten, runtime.pictures_encoded) == (5, 5, 0)
    assert indexed.candidates([1])[0].paths == (tmp_path / "other" / "blue.png",)


def test_a_copy_shares_what_is_known_of_the_original(indexed: Library, runtime: ColourRuntime, photos: Path) -> None:
    shutil.copy(photos / "red.png", photos / "copy of red.png")

    report = index_folders(indexed, runtime, [photos])

    assert (report.reused, runtime.pictures_encoded) == (1, 0)
    assert found_by(indexed, "red") == ["copy of red.png", "red.png"]


def test_copies_that_come_together_are_encoded_once(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    for number in range(100):
        make_photo(photos / f"{number}.png")

    report = index_folders(library, runtime, [photos])

    assert report == IndexReport(found=100, encoded=1, reused=99)
    assert runtime.pictures_encoded == 1


def test_copies_that_were_decoded_before_the_original_was_committed_are_not_encoded(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    for number in range(64):
        make_photo(photos / f"{number:02}.png", (number % 32 + 1, 0, 0))

    report = index_folders(library, runtime, [photos])

    assert report == IndexReport(found=64, encoded=32, reused=32)


def test_a_touched_photo_is_not_encoded_again(indexed: Library, runtime: ColourRuntime, photos: Path) -> None:
    os.utime(photos / "red.png", ns=(1, 1))

    first = index_folders(indexed, runtime, [photos])
    second = index_folders(indexed, runtime, [photos])

    assert (first.reused, second.unchanged) == (1, 5)
    assert runtime.pictures_encoded == 0


@pytest.mark.parametrize("later_s", [-1000, 1000])
def test_a_photo_edited_in_place_is_found_as_what_it_is_now(
    indexed: Library, runtime: ColourRuntime, photos: Path, later_s: int
) -> None:
    photo = photos / "edited.bmp"
    photo.write_bytes(picture_bytes("yellow", "BMP"))
    index_folders(indexed, runtime, [photos])
    before = photo.stat()
    photo.write_bytes(picture_bytes("white", "BMP"))
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns + later_s * 10**9))
    assert photo.stat().st_size == before.st_size

    report = index_folders(indexed, runtime, [photos])

    assert (report.encoded, report.unchanged) == (1, 5)
    assert found_by(indexed, "red green") == []
    assert found_by(indexed, "red green blue") == ["edited.bmp"]
    assert indexed.status().contents == 6


def test_a_deleted_photo_is_found_no_more(indexed: Library, runtime: ColourRuntime, photos: Path) -> None:
    (photos / "red.png").unlink()

    report = index_folders(indexed, runtime, [photos])

    assert report == IndexReport(found=4, unchanged=4, forgotten=1)
    assert found_by(indexed, "red") == []
    assert (len(indexed.vectors()), indexed.status().contents) == (4, 4)


def test_one_of_two_copies_deleted_leaves_the_other(indexed: Library, runtime: ColourRuntime, photos: Path) -> None:
    shutil.copy(photos / "red.png", photos / "copy.png")
    index_folders(indexed, runtime, [photos])
    (photos / "red.png").unlink()

    index_folders(indexed, runtime, [photos])

    assert found_by(indexed, "red") == ["copy.png"]


def test_a_bad_file_is_listed_and_tried_again_only_when_it_changed(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    bad = photos / "bad.jpg"
    bad.write_bytes(noise_bytes("JPEG")[:1000])
    first = index_folders(indexed, runtime, [photos])
    [failure] = indexed.failures()
    second = index_folders(indexed, runtime, [photos])
    [same_failure] = indexed.failures()
    bad.write_bytes(noise_bytes("JPEG"))
    third = index_folders(indexed, runtime, [photos])

    assert first == second == IndexReport(found=6, unchanged=5, failed=1)
    assert failure.path == bad
    assert "truncated" in failure.reason
    assert same_failure.when == failure.when
    assert third == IndexReport(found=6, unchanged=5, encoded=1)
    assert indexed.failures() == []


def test_all_that_is_no_photo_is_listed_with_its_reason_and_stops_nothing(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    (photos / "empty.jpg").touch()
    (photos / "text.jpg").write_text("dear diary")
    os.mkfifo(photos / "pipe.jpg")
    make_photo(photos / "folder.jpg" / "good.jpg")

    report = index_folders(library, runtime, [photos])

    assert report == IndexReport(found=4, encoded=1, failed=3)
    assert {failure.path.name: failure.reason for failure in library.failures()} == {
        "empty.jpg": "the file is empty",
        "text.jpg": "not a picture in a format that pixsearch reads",
        "pipe.jpg": "not a regular file",
    }


def test_a_photo_that_became_rubbish_is_a_failure_and_no_result(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    (photos / "red.png").write_bytes(b"rubbish")

    index_folders(indexed, runtime, [photos])

    assert found_by(indexed, "red") == []
    assert [failure.path.name for failure in indexed.failures()] == ["red.png"]


def test_a_failure_is_forgotten_with_its_file(indexed: Library, runtime: ColourRuntime, photos: Path) -> None:
    (photos / "bad.jpg").touch()
    index_folders(indexed, runtime, [photos])
    (photos / "bad.jpg").unlink()

    index_folders(indexed, runtime, [photos])

    assert indexed.failures() == []


def test_a_folder_that_may_not_be_read_is_listed_keeps_its_photos_and_is_tried_again(
    public_folder: Path, runtime: ColourRuntime
) -> None:
    photos = public_folder / "photos"
    make_photo(photos / "red.png", "red")
    folder = make_photo(photos / "private" / "lime.png", "lime").parent
    with Library.create(public_folder / "library") as library:
        index_folders(library, runtime, [photos])
    for path in (library.folder, *library.folder.iterdir()):
        path.chmod(0o777)
    folder.chmod(0)

    with without_privileges(), Library.open(public_folder / "library") as library:
        hindered = index_folders(library, runtime, [photos])
        failures = {failure.path.name: failure.reason for failure in library.failures()}
        kept = library.status().photos
    folder.chmod(0o755)
    with Library.open(public_folder / "library") as library:
        healed = index_folders(library, runtime, [photos])
        assert library.failures() == []

    assert hindered == IndexReport(found=1, unchanged=1, failed=1)
    assert failures == {"private": "folder cannot be listed: Permission denied"}
    assert kept == 2
    assert healed == IndexReport(found=2, unchanged=2)


def test_an_unplugged_folder_loses_nothing_and_plugged_in_again_encodes_nothing(
    indexed: Library, runtime: ColourRuntime, photos: Path, tmp_path: Path
) -> None:
    photos.rename(tmp_path / "unplugged")
    missing = index_folders(indexed, runtime, [photos])
    status_while_missing = indexed.status().roots
    photos.mkdir()
    emptied = index_folders(indexed, runtime, [photos])
    status_while_empty = indexed.status().roots
    photos.rmdir()
    (tmp_path / "unplugged").rename(photos)
    back = index_folders(indexed, runtime, [photos])

    assert missing == emptied == IndexReport(kept=5, offline=(photos,))
    for [root] in (status_while_missing, status_while_empty):
        assert (root.online, root.photos) == (False, 5)
    assert back == IndexReport(found=5, unchanged=5)
    assert indexed.status().roots[0].online
    assert runtime.pictures_encoded == 0


def test_a_folder_that_never_was_is_a_usage_error(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    for wrong in (photos / "nowhere", make_photo(photos / "a.png")):
        with pytest.raises(UsageError, match="is not a folder"):
            index_folders(library, runtime, [photos, wrong])


def test_a_photo_that_is_known_is_no_folder_either(indexed: Library, runtime: ColourRuntime, photos: Path) -> None:
    photo = next(photos.glob("*.png"))

    with pytest.raises(UsageError, match=f"{photo} is not a folder"):
        index_folders(indexed, runtime, [photo])


def test_without_a_folder_all_that_the_library_knows_are_refreshed(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    make_photo(photos / "white.png", "white")

    assert index_folders(indexed, runtime, []) == IndexReport(found=6, unchanged=5, encoded=1)


def test_without_a_folder_an_empty_library_asks_for_one(library: Library, runtime: ColourRuntime) -> None:
    with pytest.raises(UsageError, match="pixsearch index FOLDER"):
        index_folders(library, runtime, [])


def test_a_folder_inside_another_gives_no_photo_twice(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    make_photo(photos / "a.png", "red")
    make_photo(photos / "inner" / "b.png", "blue")

    inner = index_folders(library, runtime, [photos / "inner"])
    both = index_folders(library, runtime, [photos / "inner", photos])
    again = index_folders(library, runtime, [photos / "inner"])

    assert inner == IndexReport(found=1, encoded=1)
    assert both == IndexReport(found=2, unchanged=1, encoded=1)
    assert again == IndexReport(found=1, unchanged=1)
    assert [(root.path, root.photos) for root in library.status().roots] == [(photos, 2)]


def test_a_folder_whose_name_goes_on_where_another_ends_is_a_root_of_its_own(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    make_photo(photos / "one" / "a.png", "red")
    make_photo(photos / "one-and-a-half" / "b.png", "blue")

    index_folders(library, runtime, [photos / "one"])
    index_folders(library, runtime, [photos / "one-and-a-half"])

    assert [(root.path.name, root.photos) for root in library.status().roots] == [("one", 1), ("one-and-a-half", 1)]


def test_a_refreshed_folder_leaves_its_neighbours_alone(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    make_photo(photos / "one" / "a.png", "red")
    make_photo(photos / "one-and-a-half" / "b.png", "blue")
    index_folders(library, runtime, [photos])
    shutil.rmtree(photos / "one-and-a-half")
    (photos / "one" / "c.png").write_bytes(picture_bytes("lime"))

    report = index_folders(library, runtime, [photos / "one"])

    assert report == IndexReport(found=2, unchanged=1, encoded=1)
    assert library.status().photos == 3


NAMES = [
    "a b.png",
    "'quoted\".png",
    "new\nline.png",
    "100%_of.png",
    "\U0001f338.png",
    "桜.png",
    "-leading.png",
    unicodedata.normalize("NFC", "é.png"),
    unicodedata.normalize("NFD", "é.png"),
    os.fsdecode(b"not utf-8 \xff\xfe.png"),
    "x" * 251 + ".png",
    os.fsdecode(b"folder \xff") + "/in it.png",
]


def test_photos_of_any_name_are_indexed_and_known_again(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    for number, name in enumerate(NAMES):
        make_photo(photos / name, (number + 1, 0, 0))

    first = index_folders(library, runtime, [photos])
    second = index_folders(library, runtime, [photos])

    assert first == IndexReport(found=len(NAMES), encoded=len(NAMES))
    assert second == IndexReport(found=len(NAMES), unchanged=len(NAMES))
    listed = {path for candidate in library.candidates(range(1, 20)) for path in candidate.paths}
    assert listed == {photos / name for name in NAMES}


def test_photos_are_only_read(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    make_photo(photos / "a.png")
    (photos / "bad.jpg").write_bytes(b"rubbish")

    def state() -> list[tuple[str, int, int, bytes]]:
        files = sorted(photos.iterdir())
        return [(file.name, file.stat().st_mtime_ns, file.stat().st_mode, file.read_bytes()) for file in files]

    before = state()
    index_folders(library, runtime, [photos])

    assert state() == before


def test_a_picture_without_a_usable_embedding_is_listed_and_never_indexed(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    make_photo(photos / "black.png", "black")  # 0 / 0 in the tests' runtime
    make_photo(photos / "copy of black.png", "black")
    make_photo(photos / "red.png", "red")

    with pytest.warns(RuntimeWarning, match="invalid value"):
        report = index_folders(library, runtime, [photos])

    assert report == IndexReport(found=3, encoded=1, failed=2)
    assert {failure.reason for failure in library.failures()} == {"the model could not embed it"}
    assert len(library.vectors()) == 1


def test_another_model_is_refused_unless_it_is_to_encode_everything_again(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    other = ColourRuntime(fingerprint="dd" * 32)

    with pytest.raises(ModelMismatch, match="--switch-model"):
        index_folders(indexed, other, [photos])
    assert index_folders(indexed, runtime, [photos]).unchanged == 5

    (photos / "bad.jpg").touch()
    index_folders(indexed, runtime, [photos])
    report = index_folders(indexed, other, [photos], options=IndexOptions(switch_model=True))

    assert report == IndexReport(found=6, encoded=5, failed=1)
    assert found_by(indexed, "blue") == ["blue.png"]


def test_what_is_encoded_again_has_its_metadata_read_again(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    sql(indexed, "UPDATE contents SET width = 1, title = 'of an older pixsearch'")

    index_folders(indexed, ColourRuntime(fingerprint="dd" * 32), [photos], options=IndexOptions(switch_model=True))

    _, ids = indexed.vectors().search(runtime.embed_texts(["blue"]), 5)
    assert [candidate.metadata for candidate in indexed.candidates(ids[0].tolist())] == [Metadata("PNG", 8, 8)] * 5


def test_a_second_run_at_the_same_time_is_told_who_is_at_it(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    with indexed.writing(), pytest.raises(LibraryBusy, match=f"process {os.getpid()}"):
        index_folders(indexed, runtime, [photos])


def test_progress_tells_what_is_done_of_how_much(
    library: Library, runtime: ColourRuntime, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "STORE_EVERY_S", 3600.0)  # a slow machine would store, and report, more often
    for number in range(40):
        make_photo(photos / f"{number}.png", (number + 1, 0, 0))
    steps: list[Progress] = []

    index_folders(library, runtime, [photos], steps.append)

    assert [(step.task, step.done, step.total) for step in steps] == [
        ("scanning", 40, None),
        ("indexing", 0, 40),
        ("indexing", 32, 40),
        ("indexing", 40, 40),
    ]
    assert {step.note for step in steps} == {""}  # 8 photos are too few to show the speed
