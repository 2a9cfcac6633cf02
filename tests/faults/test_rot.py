"""Damage anywhere in library.db: a query omits damaged rows and reports it, verify finds it, and repair fixes it."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from pixsearch import Library
from pixsearch.errors import LibraryDamaged
from pixsearch_indexer.verify import repair, verify
from tests.faults.rot import answers, damage, index, is_part_of, make_photos

FAST = 20
DAMAGES = int(os.environ.get("DAMAGES", "200"))
"""The number of damages in the slow test, which takes minutes in CI."""


@pytest.fixture(scope="module")
def rotting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A sound library and its folder of photos."""
    folder = tmp_path_factory.mktemp("rot")
    make_photos(folder / "photos")
    index(folder / "library", folder / "photos")
    return folder / "library", folder / "photos"


@pytest.mark.parametrize("seeds", [range(FAST), pytest.param(range(FAST, DAMAGES), marks=pytest.mark.slow)])
def test_no_damage_ends_a_query_unexpectedly_or_changes_an_answer_that_verify_calls_sound(
    rotting: tuple[Path, Path], tmp_path: Path, seeds: range
) -> None:
    sound, photos = rotting
    expected, left_out = answers(sound, photos)
    assert left_out == 0
    assert all(isinstance(answer, list) and answer for answer in expected.values())
    data = (sound / "library.db").read_bytes()
    counts: Counter[str] = Counter()
    for seed in seeds:
        library = tmp_path / "library"
        shutil.copytree(sound, library)
        (library / "library.db").write_bytes(damage(data, random.Random(seed)))

        found, left_out = answers(library, photos)
        is_known = problems(library)
        for name, answer in found.items():
            if isinstance(answer, str):
                counts["refused"] += 1
                assert "repair" in answer, (seed, name)
            elif answer != expected[name]:
                counts["less" if left_out else "less, not told"] += 1
                assert is_known, (seed, name)
                whole = expected[name]
                assert isinstance(whole, list)
                assert name == "folded" or is_part_of(answer, whole), (seed, name)
            else:
                counts["the same"] += 1
        counts["told"] += bool(left_out)
        counts["known"] += bool(is_known)
        counts["mended"] += is_mended(library, photos, expected, seed)
        shutil.rmtree(library)
    print(f"{len(seeds)} damages: {dict(counts)}")


def problems(library: Path) -> list[str]:
    """Return the problems that verify finds, or its error."""
    try:
        with Library.open(library) as opened:
            return verify(opened).problems
    except LibraryDamaged as error:
        return [str(error)]


def is_mended(library: Path, photos: Path, expected: object, seed: int) -> bool:
    """Return whether the library is sound after a repair and a run, and gives the same results as before."""
    try:
        try:
            opened = Library.open(library)
        except LibraryDamaged:
            Library.rescue(library)
            opened = Library.open(library)
        with opened:
            _, left = repair(opened)
    except LibraryDamaged:
        return False
    assert left.problems == [], seed
    index(library, photos)
    assert problems(library) == [], seed
    again, left_out = answers(library, photos)
    assert left_out == 0
    assert plain(again) == plain(expected), seed
    return True


def plain(found: object) -> object:
    """Return results without the ids from the library, which determine the order of equal ones."""
    assert isinstance(found, dict)
    ids = ("id", "rank", "similarity_rank")
    return {
        name: sorted(str({key: value for key, value in hit.items() if key not in ids}) for hit in answer)
        for name, answer in found.items()
    }
