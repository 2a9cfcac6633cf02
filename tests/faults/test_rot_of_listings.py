"""Damage anywhere in library.db: folders and duplicates omit what is damaged, and list nothing wrong."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from pixsearch import Library
from pixsearch.errors import PixsearchError
from pixsearch.search.duplicates import known_duplicates
from tests.faults.rot import damage, index, make_photos
from tests.faults.test_rot import DAMAGES, FAST, problems


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound library."""
    folder = tmp_path_factory.mktemp("rot")
    make_photos(folder / "photos")
    index(folder / "library", folder / "photos")
    return folder / "library"


def folders_of(library: Library, path: bytes | None = None) -> dict[bytes, int | None]:
    """Return the cover of each folder at any depth."""
    if (listing := library.folders_in(path)) is None:
        return {}
    found = {}
    for folder in listing.folders:
        found[folder.path] = folder.cover
        if folder.has_folders:
            found.update(folders_of(library, folder.path))
    return found


def groups_of(library: Library) -> dict[frozenset[str], int]:
    """Return the space that each group of duplicates could free, by the paths in the group."""
    groups, rank = {}, None
    while True:
        part = known_duplicates(library, rank, 5)
        for group in part.groups:
            paths = (str(photo.path) for picture in group.pictures for photo in picture.photos)
            groups[frozenset(paths)] = group.spare_bytes
        if (rank := part.last) is None:
            return groups


Found = TypeVar("Found")


def asked(folder: Path, ask: Callable[[Library], Found]) -> tuple[Found | str, int]:
    """Return the library's results, or its error, and the number of rows left out."""
    try:
        with Library.open(folder) as library:
            return ask(library), len(library.damage())
    except PixsearchError as error:
        return str(error), 0


@pytest.mark.parametrize("seeds", [range(FAST), pytest.param(range(FAST, DAMAGES), marks=pytest.mark.slow)])
def test_no_damage_names_a_folder_or_a_cover_that_there_is_not(sound: Path, tmp_path: Path, seeds: range) -> None:
    with Library.open(sound) as library:
        expected = folders_of(library)
        pictures_in = {
            path: {
                content_id
                for content_id, picture in library.pictures(range(1, 500)).items()
                if any(str(photo.path).startswith(f"{path.decode()}/") for photo in picture.photos)
            }
            for path in expected
        }
    assert {Path(path.decode()).name for path in expected} == {"0", "1", "2", "copies"}
    data = (sound / "library.db").read_bytes()
    for seed in seeds:
        rotten = tmp_path / "library"
        shutil.copytree(sound, rotten)
        (rotten / "library.db").write_bytes(damage(data, random.Random(seed)))

        found, told = asked(rotten, folders_of)
        if isinstance(found, str):
            assert "repair" in found, seed
        else:
            assert found.keys() <= expected.keys(), seed
            assert all(cover in pictures_in[path] for path, cover in found.items()), seed
            assert found == expected or told or problems(rotten), seed
        shutil.rmtree(rotten)


@pytest.mark.parametrize("seeds", [range(FAST), pytest.param(range(FAST, DAMAGES), marks=pytest.mark.slow)])
def test_no_damage_makes_a_duplicate_of_what_is_none(sound: Path, tmp_path: Path, seeds: range) -> None:
    with Library.open(sound) as library:
        expected = groups_of(library)
    assert {len(paths) for paths in expected} == {2}
    assert len(expected) == 12
    data = (sound / "library.db").read_bytes()
    for seed in seeds:
        rotten = tmp_path / "library"
        shutil.copytree(sound, rotten)
        (rotten / "library.db").write_bytes(damage(data, random.Random(seed)))

        found, told = asked(rotten, groups_of)
        if isinstance(found, str):
            assert "repair" in found, seed
        else:
            assert found.items() <= expected.items(), seed
            assert found == expected or told or problems(rotten), seed
        shutil.rmtree(rotten)
