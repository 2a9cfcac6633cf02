"""Test that the index of words in photos is stored with the photos and follows every change to them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, update

from pixsearch import Library
from pixsearch.database.schema import POSTINGS
from pixsearch.library.records import IndexedFile
from pixsearch.metadata import Description, Layer, Metadata
from pixsearch.storage import FileStamp
from pixsearch_indexer.verify import repair, verify
from tests.library.described_photos import ROOT, photos_with, store

ANNA = Metadata("PNG", 8, 8, people=("Anna",))
RED, BLUE = (255, 0, 0), (0, 0, 255)


def file(name: str, said: Metadata) -> IndexedFile:
    """Return a new or changed file with a red picture that was already stored with this metadata."""
    return IndexedFile(os.fsencode(ROOT / name), FileStamp(2, 2), repr((RED, said)).encode())


def test_a_photo_says_its_words_as_soon_as_it_is_stored_and_no_longer_than_it_is_there(library: Library) -> None:
    store(library, [("Kyoto/img_1.png", RED, ANNA), ("b.png", BLUE, Metadata("PNG", 8, 8))])

    assert photos_with(library, "anna") == photos_with(library, "kyoto") == {"img_1.png"}

    with library.writing() as writer:
        writer.forget([os.fsencode(ROOT / "Kyoto/img_1.png")])

    assert photos_with(library, "anna") == set()
    assert verify(library).problems == []


def test_a_moved_photo_says_its_new_folder(library: Library) -> None:
    store(library, [("Kyoto/img_1.png", RED, ANNA)])

    with library.writing() as writer:
        root, _ = writer.root_of(os.fsencode(ROOT))
        writer.forget([os.fsencode(ROOT / "Kyoto/img_1.png")])
        writer.store(root, [], [file("Osaka/img_1.png", ANNA)], [])

    assert (photos_with(library, "kyoto"), photos_with(library, "osaka")) == (set(), {"img_1.png"})


def test_what_lies_beside_one_copy_is_said_by_that_copy_alone(library: Library) -> None:
    store(library, [("a.png", RED, ANNA), ("b.png", RED, ANNA)])

    with library.writing() as writer:
        root, _ = writer.root_of(os.fsencode(ROOT))
        beside: dict[Layer, Description] = {"sidecar": Description(keywords=("wedding",))}
        writer.store(root, [], [file("b.png", ANNA)._replace(beside=beside)], [])
        writer.forget([os.fsencode(ROOT / "b.png")])

    assert photos_with(library, "anna") == {"a.png"}
    assert photos_with(library, "wedding") == set()


def test_metadata_that_are_read_again_are_said_by_all_copies(library: Library) -> None:
    store(library, [("a.png", RED, ANNA), ("b.png", RED, ANNA)])

    with library.writing() as writer:
        root, _ = writer.root_of(os.fsencode(ROOT))
        writer.store(root, [], [file("a.png", ANNA)._replace(metadata=replace(ANNA, people=("Bertrand",)))], [])

    assert photos_with(library, "anna") == set()
    assert photos_with(library, "bertrand") == {"a.png", "b.png"}
    assert verify(library).problems == []


def test_folders_from_a_new_root_on_are_said_once_it_takes_over_another(library: Library) -> None:
    store(library, [("a.png", RED, ANNA)], Path("/photos/Kyoto"))
    assert photos_with(library, "kyoto") == set()

    with library.writing() as writer:
        writer.root_of(b"/photos")

    assert photos_with(library, "kyoto") == {"a.png"}
    assert verify(library).problems == []


def test_a_forgotten_root_leaves_no_words(library: Library) -> None:
    store(library, [("a.png", RED, ANNA)])

    with library.writing() as writer:
        writer.forget_root(os.fsencode(ROOT))
        writer.drop_unused_contents()

    assert library.contents_saying([(b"", b"\xff")], 10).tolist() == []


def test_coordinates_say_the_nearest_town_its_region_and_its_country(library: Library) -> None:
    at_kinkakuji = Metadata("PNG", 8, 8, latitude=35.0394, longitude=135.7292)
    store(
        library, [("a.png", RED, at_kinkakuji), ("b.png", BLUE, Metadata("PNG", 8, 8, latitude=0.0, longitude=-30.0))]
    )

    assert photos_with(library, "kyoto") == photos_with(library, "japan") == {"a.png"}
    [there] = [one for one in library.candidates([1, 2]) if one.paths[0].name == "b.png"]
    assert there.metadata.place is None  # the position is in the Atlantic


@pytest.mark.parametrize(
    "damage",
    [
        delete(POSTINGS).where(POSTINGS.c.term == b"anna"),
        update(POSTINGS).where(POSTINGS.c.term == b"anna").values(term=b"enna"),
        update(POSTINGS).where(POSTINGS.c.term == b"anna").values(content_id=99),
        insert(POSTINGS).values(photo_id=1, term=b"zoe", content_id=1),
        delete(POSTINGS),
    ],
    ids=["lost", "another term", "another content", "added", "all lost"],
)
def test_an_index_that_is_not_that_of_the_rows_is_found_and_made_again(library: Library, damage: object) -> None:
    store(library, [("a.png", RED, ANNA)])
    with library.writing(), library._database.writing() as connection:
        connection.execute(damage)  # type: ignore[call-overload]

    assert verify(library).problems == ["the word index does not match 1 photo"]
    _, left = repair(library)

    assert left.problems == []
    assert photos_with(library, "anna") == {"a.png"}
    assert photos_with(library, "zoe") == set()


def test_the_first_of_some_terms_that_a_photo_has_is_found(library: Library) -> None:
    store(library, [("b.png", RED, ANNA), ("c.png", BLUE, ANNA)])

    assert library.first_term_among(["aaa", "b", "anna", "c"]) == "anna"
    assert library.first_term_among(["aaa", "ann"]) is None


def test_terms_that_begin_with_a_word_are_read_once_each_however_many_photos_have_them(library: Library) -> None:
    store(library, [(f"{name}/{number}.png", RED, ANNA) for name in ("annex", "annual", "bann") for number in range(9)])

    assert library.terms_beginning("ann", 9) == ["anna", "annex", "annual"]
    assert library.terms_beginning("ann", 2) == ["anna", "annex"]
    assert library.terms_beginning("zzz", 9) == []
