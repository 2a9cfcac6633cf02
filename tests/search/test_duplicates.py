"""Copies and near-duplicates, in groups known from how the photos were made."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

import numpy as np
import pytest

from pixsearch import Library
from pixsearch.errors import ModelMismatch
from pixsearch.search import duplicates
from pixsearch.search.duplicates import (
    Duplicates,
    KnownDuplicates,
    copies,
    grouped,
    known_duplicates,
    near_duplicates,
    spare_copies,
)
from pixsearch_indexer import index_folders
from tests.colour_runtime import ColourRuntime
from tests.photos import make_photo, picture_bytes


@pytest.fixture
def indexed(library: Library, photos: Path) -> Library:
    """A library with three copies of a red photo, a larger and a smaller one that look the same, and two others."""
    for name in ("red.png", "red (1).png", "deep/red copy.png"):
        make_photo(photos / name, (200, 0, 0), size=(16, 16))
    make_photo(photos / "large.png", (200, 0, 0), size=(64, 64))
    make_photo(photos / "small.png", (200, 0, 0), size=(4, 4))
    make_photo(photos / "dark.png", (90, 0, 0))  # the same embedding, but not a near-duplicate
    make_photo(photos / "blue.png", (0, 0, 200))
    index_folders(library, ColourRuntime(), [photos])
    return library


def xmp(title: str, rating: int = 0) -> str:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{rating}" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title><rdf:Alt><rdf:li xml:lang="x-default">'
        f"{title}</rdf:li></rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def names(groups: list[Duplicates]) -> list[list[str]]:
    return [[photo.path.name for picture in group.pictures for photo in picture.photos] for group in groups]


def test_copies_are_files_with_the_same_bytes_those_with_the_shortest_names_first(indexed: Library) -> None:
    [group] = copies(indexed)

    assert names([group]) == [["red.png", "red (1).png", "red copy.png"]]
    assert group.spare_bytes == 2 * group.pictures[0].size_bytes


def test_near_duplicates_and_their_copies_come_after_the_one_with_the_most_pixels(indexed: Library) -> None:
    [group] = near_duplicates(indexed, ColourRuntime())

    assert names([group]) == [["large.png", "red.png", "red (1).png", "red copy.png", "small.png"]]
    _, red, small = group.pictures
    assert group.spare_bytes == 3 * red.size_bytes + small.size_bytes


def test_copies_without_near_duplicates_are_listed_too(library: Library, photos: Path) -> None:
    for name in ("a.png", "b.png"):
        make_photo(photos / name, (0, 200, 0))
    index_folders(library, ColourRuntime(), [photos])

    assert names(near_duplicates(library, ColourRuntime())) == [["a.png", "b.png"]]


def test_near_duplicates_are_kept_until_the_library_changes(
    indexed: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = near_duplicates(indexed, ColourRuntime())
    monkeypatch.setattr(duplicates, "grouped", pytest.fail)
    again = near_duplicates(indexed, ColourRuntime())
    monkeypatch.undo()
    make_photo(photos / "larger.png", (200, 0, 0), size=(100, 100))
    index_folders(indexed, ColourRuntime(), [photos])

    assert again == first
    assert names(near_duplicates(indexed, ColourRuntime()))[0][0] == "larger.png"


def test_groups_of_other_pictures_with_the_same_ids_are_not_taken(
    indexed: Library, photos: Path, tmp_path: Path
) -> None:
    near_duplicates(indexed, ColourRuntime())
    [kept] = indexed.folder.glob("alike-*.json")
    make_photo(tmp_path / "others" / "0.png", "green")
    for number in range(1, 5):
        make_photo(tmp_path / "others" / f"{number}.png", (50 * number, 255 - 50 * number, 0))
    with Library.create(tmp_path / "another") as another:
        index_folders(another, ColourRuntime(), [tmp_path / "others"])
        (another.folder / kept.name).write_bytes(kept.read_bytes())

        assert near_duplicates(another, ColourRuntime()) == []


@pytest.mark.parametrize("damage", [lambda data: data[:-9] + b"[1,2,3]]]", lambda data: data[:40], lambda _: b""])
def test_a_damaged_file_of_groups_is_rebuilt(indexed: Library, damage: Callable[[bytes], bytes]) -> None:
    expected = names(near_duplicates(indexed, ColourRuntime()))
    [kept] = indexed.folder.glob("alike-*.json")
    kept.write_bytes(damage(whole := kept.read_bytes()))

    assert names(near_duplicates(indexed, ColourRuntime())) == expected
    assert kept.read_bytes() == whole


def test_another_model_is_refused(indexed: Library) -> None:
    with pytest.raises(ModelMismatch):
        near_duplicates(indexed, ColourRuntime("ff" * 32))


def test_all_unchanged_copies_except_one_are_spare(indexed: Library, photos: Path) -> None:
    [group] = copies(indexed)

    assert [photo.path.name for photo in spare_copies(group)] == ["red (1).png", "red copy.png"]
    (photos / "red.png").unlink()
    assert [photo.path.name for photo in spare_copies(group)] == ["red copy.png"]
    stamp = (photos / "red (1).png").stat()
    (photos / "red (1).png").write_bytes(b"x" * stamp.st_size)
    os.utime(photos / "red (1).png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert list(spare_copies(group)) == []


def test_the_copy_with_the_most_metadata_is_the_best_and_one_with_other_metadata_is_not_spare(
    library: Library, photos: Path
) -> None:
    for name in ("a.png", "best.png", "other.png"):
        make_photo(photos / name, (200, 0, 0))
    (photos / "best.png.xmp").write_text(xmp("Anna at the sea", rating=5))
    (photos / "other.png.xmp").write_text(xmp("Ben at the sea"))
    index_folders(library, ColourRuntime(), [photos])

    [group] = copies(library)

    assert names([group]) == [["best.png", "other.png", "a.png"]]
    assert [photo.path.name for photo in spare_copies(group)] == ["a.png"]


def test_the_only_copy_on_a_drive_is_not_spare(indexed: Library, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [group] = copies(indexed)

    def of_two_drives(file: BufferedReader) -> tuple[int, int]:
        path = Path(f"/proc/self/fd/{file.fileno()}").readlink()
        return int("deep" in path.parts), path.stat().st_ino

    monkeypatch.setattr(duplicates, "_drive_and_number", of_two_drives)

    assert [photo.path.name for photo in spare_copies(group)] == ["red (1).png"]


def test_the_same_file_under_another_name_is_not_spare(library: Library, photos: Path) -> None:
    make_photo(photos / "red.png", (200, 0, 0))
    (photos / "red too.png").hardlink_to(photos / "red.png")
    index_folders(library, ColourRuntime(), [photos])

    [group] = copies(library)

    assert names([group]) == [["red.png", "red too.png"]]
    assert list(spare_copies(group)) == []


def test_a_library_without_photos_has_no_duplicates(library: Library) -> None:
    assert copies(library) == near_duplicates(library, ColourRuntime()) == []


def test_groups_are_those_of_comparing_each_with_the_first_of_every_group() -> None:
    random = np.random.default_rng(0)
    # A thousand pictures, many of them similar to one of 60 others in embedding and grid.
    centres = random.normal(size=(60, 8))
    vectors = centres[random.integers(0, 60, 1000)] + random.normal(size=(1000, 8)) * random.choice(
        [0.05, 0.2], (1000, 1)
    )
    embeddings = np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
    grids = {number: bytes([number % 2]) for number in range(1000)}

    def likeness(one: bytes, other: bytes) -> float:
        return 1.0 if one == other else 0.0

    expected: list[list[int]] = []
    for number in range(1000):
        cosines = [float(embeddings[number] @ embeddings[group[0]]) for group in expected]
        nearest = sorted((one for one in range(len(expected)) if cosines[one] >= 0.9), key=lambda one: -cosines[one])
        joined = [one for one in nearest[:8] if number % 2 == expected[one][0] % 2]
        if joined:
            expected[joined[0]].append(number)
        else:
            expected.append([number])

    found = grouped(range(1000), embeddings, lambda ids: {one: grids[one] for one in ids}, likeness)

    assert found == expected
    assert sum(len(group) > 1 for group in found) > 50


def test_pictures_of_a_burst_are_compared_by_more_than_their_colours(library: Library, photos: Path) -> None:
    (photos / "a.jpg").write_bytes(picture_bytes((200, 0, 0), "JPEG"))
    (photos / "b.jpg").write_bytes(picture_bytes((150, 0, 0), "JPEG"))  # likeness: 1 - 50 / 255, less than 0.85
    index_folders(library, ColourRuntime(), [photos])

    assert near_duplicates(library, ColourRuntime()) == []


def test_copies_are_known_at_once_and_near_duplicates_after_they_were_compared(indexed: Library) -> None:
    before = known_duplicates(indexed, None, 10)
    assert list(before.groups) == copies(indexed)
    assert (before.count, before.spare_bytes, before.has_alike) == (1, copies(indexed)[0].spare_bytes, False)

    compared = near_duplicates(indexed, ColourRuntime())
    after = known_duplicates(indexed, None, 10)
    assert list(after.groups) == compared
    assert (after.count, after.spare_bytes, after.has_alike) == (1, compared[0].spare_bytes, True)


def test_known_near_duplicates_are_dropped_when_the_library_changes(indexed: Library, photos: Path) -> None:
    near_duplicates(indexed, ColourRuntime())
    make_photo(photos / "larger.png", (200, 0, 0), size=(100, 100))
    index_folders(indexed, ColourRuntime(), [photos])

    now = known_duplicates(indexed, None, 10)
    assert not now.has_alike
    assert list(now.groups) == copies(indexed)


@pytest.fixture
def pairs(library: Library, photos: Path) -> Library:
    """A library with five pictures of different sizes, each stored twice."""
    for number in range(5):
        for name in ("a", "b"):
            make_photo(photos / name / f"{number}.png", (50 * number, 0, 99), size=(10 + 20 * number, 10))
    index_folders(library, ColourRuntime(), [photos])
    return library


def in_parts(library: Library, most: int) -> list[KnownDuplicates]:
    parts = [known_duplicates(library, None, most)]
    while parts[-1].last is not None:
        parts.append(known_duplicates(library, parts[-1].last, most))
    return parts


@pytest.mark.parametrize("most", [1, 2, 5, 6])
def test_known_duplicates_come_in_parts_each_group_once_in_the_order_of_the_command(pairs: Library, most: int) -> None:
    parts = in_parts(pairs, most)

    assert [len(part.groups) for part in parts] == {1: [1] * 5, 2: [2, 2, 1], 5: [5], 6: [5]}[most]
    assert [group for part in parts for group in part.groups] == copies(pairs)
    assert {(part.count, part.spare_bytes) for part in parts} == {(5, sum(one.spare_bytes for one in copies(pairs)))}


def test_groups_that_disappear_do_not_shift_the_next_page(pairs: Library, photos: Path) -> None:
    first = known_duplicates(pairs, None, 2)
    rest = copies(pairs)[2:]
    for group in first.groups:  # including the group that the next page starts after
        Path(str(group.pictures[0].photos[1].path)).unlink()
    index_folders(pairs, ColourRuntime(), [photos])

    assert list(known_duplicates(pairs, first.last, 9).groups) == rest
