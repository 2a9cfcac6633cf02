"""Tests of texts found by searching with a photo: lines of text files, and descriptions of photos."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from PIL import Image

from pixsearch import Library, Picture, Query, SearchEngine
from pixsearch.captions import captions_beside
from pixsearch.errors import UsageError
from pixsearch.search.query import Words
from pixsearch_indexer import IndexOptions, index_folders
from tests.colour_runtime import ColourRuntime
from tests.loading import load_in_this_process
from tests.photos import make_photo, picture_bytes
from tests.unsuitable_files import UNSUITABLE, in_time


def found(library: Library, colour: str = "red", k: int = 10) -> list[str]:
    """Return the texts found by searching with a picture in this colour."""
    query = Query((Picture(picture_bytes(colour)),), rerank=False)
    return [hit.text for hit in SearchEngine(library, ColourRuntime()).find_texts(query, k)]


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    file = tmp_path / "captions.txt"
    file.write_text("all blue\n\n  all   red  \nred and blue\nall red\n")
    return file


def describe(photo: Path, text: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = text  # ImageDescription
    Image.new("RGB", (8, 8), "green").save(photo, exif=exif)


def test_lines_of_a_file_are_found_nearest_first_with_where_they_stand(
    library: Library, runtime: ColourRuntime, captions: Path
) -> None:
    report = index_folders(library, runtime, [captions])
    query = Query((Picture(picture_bytes("red")),))

    hits = SearchEngine(library, runtime).find_texts(query)

    assert (report.found, report.texts) == (0, 3)
    # "red" is (1, 0, 0), "red and blue" (1, 0, 1) / sqrt(2); both match 10 x 1 - 5, and blue 10 x 0 - 5
    assert [hit.text for hit in hits] == ["all red", "red and blue", "all blue"]
    assert [hit.similarity for hit in hits] == pytest.approx([1.0, 0.5**0.5, 0.0], abs=1e-6)
    assert [hit.match for hit in hits] == pytest.approx([5.0, 5.0, -5.0], abs=1e-5)
    assert [(source.path, source.line) for source in hits[0].sources] == [(captions, 3), (captions, 5)]


def test_the_match_orders_texts_as_it_orders_photos(library: Library, runtime: ColourRuntime, captions: Path) -> None:
    index_folders(library, runtime, [captions])
    magenta = Query((Picture(picture_bytes("magenta")),), candidates=1)

    by_match = SearchEngine(library, runtime).find_texts(Query(magenta.parts))
    by_similarity = SearchEngine(library, ColourRuntime(default_order="similarity")).find_texts(magenta, k=1)

    assert by_match[0].text == "red and blue"
    assert by_match[0].match == pytest.approx(15.0, abs=1e-4)
    assert by_similarity[0].text == "red and blue"


def test_a_text_that_the_joint_stream_did_not_read_has_the_probability_of_its_late_score(
    library: Library, runtime: ColourRuntime, captions: Path
) -> None:
    index_folders(library, runtime, [captions])
    engine = SearchEngine(library, ColourRuntime(calibrated=True))

    hits = engine.find_texts(Query((Picture(picture_bytes("red")),), candidates=1))

    # The late scores are the similarities 1, 1 / sqrt(2) and 0. The joint stream reads only the first text.
    assert [hit.text for hit in hits] == ["all red", "red and blue", "all blue"]
    assert [hit.match for hit in hits] == [pytest.approx(5.0, abs=1e-5), None, None]
    by_hand = [1 / (1 + math.exp(-logit)) for logit in (5, 10 * 0.5**0.5 - 5, -5)]
    assert [hit.probability for hit in hits] == pytest.approx(by_hand, abs=1e-5)


def test_only_texts_as_probable_as_the_threshold_are_given(
    library: Library, runtime: ColourRuntime, captions: Path
) -> None:
    index_folders(library, runtime, [captions])
    engine = SearchEngine(library, ColourRuntime(calibrated=True))

    hits = engine.find_texts(Query((Picture(picture_bytes("red")),), threshold=0.5))

    assert [hit.text for hit in hits] == ["all red", "red and blue"]


def test_a_file_that_changed_is_read_again_and_the_rest_of_it_forgotten(
    library: Library, runtime: ColourRuntime, captions: Path, photos: Path
) -> None:
    index_folders(library, runtime, [captions])
    captions.write_text("all red\nall green\n")

    report = index_folders(library, runtime, [photos])

    assert report.texts == 1
    assert found(library) == ["all red", "all green"]


def test_a_file_that_did_not_change_is_not_read(
    library: Library, runtime: ColourRuntime, captions: Path, photos: Path
) -> None:
    index_folders(library, runtime, [captions])
    stat = captions.stat()
    captions.write_text("x" * stat.st_size)
    os.utime(captions, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert index_folders(library, runtime, [photos]).texts == 0
    assert len(found(library)) == 3


def test_a_file_that_is_gone_is_forgotten_but_not_with_its_drive(
    library: Library, runtime: ColourRuntime, captions: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "drive").mkdir()
    captions = captions.rename(tmp_path / "drive/captions.txt")
    index_folders(library, runtime, [captions])
    (tmp_path / "drive").rename(tmp_path / "unplugged")

    index_folders(library, runtime, [photos])
    assert len(found(library)) == 3

    (tmp_path / "drive").mkdir()
    index_folders(library, runtime, [photos])
    assert found(library) == []


def test_titles_and_captions_of_photos_are_texts_too(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    describe(photos / "a.jpg", "all red")
    describe(photos / "b.jpg", "all blue")

    report = index_folders(library, runtime, [photos])

    [red, _] = SearchEngine(library, runtime).find_texts(Query((Picture(picture_bytes("red")),)))
    assert report.texts == 2
    assert (red.text, [(source.path, source.line) for source in red.sources]) == ("all red", [(photos / "a.jpg", None)])

    (photos / "a.jpg").unlink()
    index_folders(library, runtime, [photos])
    assert found(library) == ["all blue"]


def test_another_model_reads_the_texts_again(library: Library, runtime: ColourRuntime, captions: Path) -> None:
    index_folders(library, runtime, [captions])

    report = index_folders(
        library, ColourRuntime(fingerprint="dd" * 32), [captions], options=IndexOptions(switch_model=True)
    )

    assert report.texts == 3


def test_more_texts_than_are_read_at_once_are_all_found(
    library: Library, runtime: ColourRuntime, tmp_path: Path
) -> None:
    file = tmp_path / "many.txt"
    file.write_text("".join(f"number {number}\n" for number in range(150)) + "all red\n")

    assert index_folders(library, runtime, [file]).texts == 151
    assert found(library, k=1) == ["all red"]
    assert len(found(library, k=1000)) == 151


def test_photos_and_texts_may_be_given_together(
    library: Library, runtime: ColourRuntime, captions: Path, photos: Path
) -> None:
    make_photo(photos / "red.png")

    report = index_folders(library, runtime, [photos, captions])

    assert (report.encoded, report.texts) == (1, 3)


def test_a_file_that_is_no_text_is_a_failure_until_it_is_one_and_stops_nothing(
    library: Library, runtime: ColourRuntime, captions: Path, photos: Path
) -> None:
    make_photo(photos / "red.png")
    words = captions.with_name("a first one.txt")
    words.write_bytes(b"caf\xe9\n")

    report = index_folders(library, runtime, [words, captions, photos])
    again = index_folders(library, runtime, [])

    assert (report.encoded, report.texts, report.failed) == (1, 3, 1)
    assert again.failed == 1
    assert [(failure.path, failure.reason) for failure in library.failures()] == [(words, "is not UTF-8 text")]
    assert library.status().failures == 1
    words.write_text("caf\xe9 in blue\n", encoding="utf-8")
    mended = index_folders(library, runtime, [])
    assert (mended.texts, mended.failed, library.failures()) == (1, 0, [])


def test_a_known_file_that_is_gone_may_be_named_and_is_forgotten(
    library: Library, runtime: ColourRuntime, captions: Path
) -> None:
    index_folders(library, runtime, [captions])
    captions.unlink()

    index_folders(library, runtime, [captions])

    assert library.text_files() == {}


def test_lines_that_became_no_text_are_forgotten(library: Library, runtime: ColourRuntime, captions: Path) -> None:
    index_folders(library, runtime, [captions])
    captions.write_bytes(b"caf\xe9\n")

    assert index_folders(library, runtime, []).failed == 1
    assert found(library) == []


def test_a_file_that_cannot_be_read_now_keeps_its_lines_and_is_tried_again(
    library: Library, runtime: ColourRuntime, captions: Path
) -> None:
    index_folders(library, runtime, [captions])
    captions.unlink()
    captions.mkdir()  # unlike a missing permission, this also stops root

    report = index_folders(library, runtime, [])

    assert report.failed == 1
    assert [failure.reason for failure in library.failures()] == ["cannot be read: Is a directory"]
    assert found(library, k=1) == ["all red"]
    captions.rmdir()
    captions.write_text("red and blue\n")
    assert index_folders(library, runtime, []).failed == 0
    assert (library.failures(), found(library)) == ([], ["red and blue"])


def test_a_line_may_hold_a_zero_byte(library: Library, runtime: ColourRuntime, captions: Path) -> None:
    captions.write_text("all\0red\n")

    index_folders(library, runtime, [captions])

    assert found(library) == ["all red"]


def test_a_threshold_needs_a_picture_that_is_looked_for(library: Library, runtime: ColourRuntime) -> None:
    with pytest.raises(UsageError, match="requires a picture"):
        SearchEngine(library, runtime).find_texts(Query((Picture(picture_bytes(), -1.0),), threshold=0.5))


def test_words_find_no_texts(library: Library, runtime: ColourRuntime) -> None:
    with pytest.raises(UsageError, match="only be searched by image"):
        SearchEngine(library, runtime).find_texts(Query((Words("red"),)))


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_a_file_of_texts_that_became_something_else_is_listed_and_the_run_goes_on(
    library: Library, runtime: ColourRuntime, captions: Path, photos: Path, kind: str
) -> None:
    index_folders(library, runtime, [captions])
    UNSUITABLE[kind](captions)
    make_photo(photos / "red.png", "red")

    with in_time():
        report = index_folders(library, runtime, [photos], load_files=load_in_this_process)

    assert (report.found, report.encoded) == (1, 1)
    [failure] = library.failures()
    assert (failure.path, failure.reason) == (
        captions,
        "is larger than 64 MiB" if kind == "large" else "is not a regular file",
    )


@pytest.mark.parametrize("kind", ["pipe", "endless", "socket"])
def test_captions_beside_a_photo_that_are_no_file_are_left_out(tmp_path: Path, kind: str) -> None:
    photo = make_photo(tmp_path / "red.png")
    UNSUITABLE[kind](tmp_path / "red.txt")
    problems: list[str] = []

    with in_time():
        captions = captions_beside(photo, lambda _: True, lambda _file, _line, what: problems.append(what))

    assert captions == []
    assert problems[0] == "cannot be read (not a regular file)"


def test_of_endless_captions_no_more_than_64_kib_are_read(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "red.png")
    UNSUITABLE["large"](tmp_path / "red.txt")
    problems: list[str] = []

    with in_time():
        captions_beside(photo, lambda file: file.stem == "red", lambda _file, _line, what: problems.append(what))

    assert problems[0] == "is larger than 64 KiB; the rest is ignored"
