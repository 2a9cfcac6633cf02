"""The photo that represents a hit: a copy that exists, and the largest near-duplicate."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pytest
from PIL import Image

from pixsearch import Filters, Library, Query, SearchEngine, Words
from pixsearch_indexer import index_folders
from tests.colour_runtime import ColourRuntime
from tests.loading import load_in_this_process
from tests.photos import make_photo

Form: TypeAlias = Literal["NFC", "NFD"]
FORMS: tuple[Form, ...] = ("NFC", "NFD")


def shown(library: Library, **query: object) -> list[Path]:
    hits = SearchEngine(library, ColourRuntime()).search(Query((Words("red"),), **query))  # type: ignore[arg-type]
    return [Path(str(hit.path)) for hit in hits]


@pytest.mark.parametrize("duplicates", ["fold", "show"])
def test_a_folder_at_a_new_mount_point_gives_files_that_exist(
    library: Library, runtime: ColourRuntime, tmp_path: Path, duplicates: str
) -> None:
    make_photo(tmp_path / "a" / "red.png", "red")
    index_folders(library, runtime, [tmp_path / "a"], load_files=load_in_this_process)
    (tmp_path / "a").rename(tmp_path / "b")
    index_folders(library, runtime, [tmp_path / "b"], load_files=load_in_this_process)

    assert shown(library, duplicates=duplicates) == [tmp_path / "b" / "red.png"]
    [hit] = SearchEngine(library, runtime).search("red")
    picture = library.picture(hit.id)
    assert picture is not None
    assert picture.photos[0][0] == tmp_path / "b" / "red.png"


def test_a_photo_of_an_unplugged_drive_is_represented_by_its_copy(
    library: Library, runtime: ColourRuntime, tmp_path: Path
) -> None:
    for drive in ("a", "b"):
        make_photo(tmp_path / drive / "red.png", "red")
    index_folders(library, runtime, [tmp_path / "a", tmp_path / "b"], load_files=load_in_this_process)
    (tmp_path / "a").rename(tmp_path / "unplugged")

    assert shown(library) == [tmp_path / "b" / "red.png"]
    (tmp_path / "b").rename(tmp_path / "unplugged too")
    assert shown(library) == [tmp_path / "a" / "red.png"]  # neither exists, so the first is shown


def test_the_largest_of_near_duplicates_represents_all(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    for name, edge, red in (("small", 8, 255), ("large", 64, 250), ("middle", 32, 252)):
        photos.mkdir(exist_ok=True)
        Image.new("RGB", (edge, edge), (red, 0, 0)).save(photos / f"{name}.png")
    index_folders(library, runtime, [photos], load_files=load_in_this_process)

    [hit] = SearchEngine(library, runtime).search("red")

    assert hit.path.name == "large.png"
    assert sorted(path.name for path in hit.similar) == ["middle.png", "small.png"]
    assert (hit.metadata.width, hit.rank) == (64, 1)


def test_a_picture_with_a_date_represents_near_duplicates_of_equal_size(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    photos.mkdir(exist_ok=True)
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    exif.get_ifd(0x8769)[0x9003] = "2019:05:04 10:11:12"
    Image.new("RGB", (16, 16), (255, 0, 0)).save(photos / "a.png")
    Image.fromarray(np.full((16, 16, 3), (250, 0, 0), np.uint8)).save(photos / "dated.png", exif=exif)
    index_folders(library, runtime, [photos], load_files=load_in_this_process)

    assert shown(library) == [photos / "dated.png"]


@pytest.mark.parametrize("stored", FORMS)
@pytest.mark.parametrize("typed", FORMS)
def test_names_are_found_in_either_form_of_unicode(
    library: Library, runtime: ColourRuntime, photos: Path, stored: Form, typed: Form
) -> None:
    folder, name = (unicodedata.normalize(stored, text) for text in ("Größe", "Müller.png"))
    make_photo(photos / folder / name, "red")
    make_photo(photos / "Grüße" / "other.png", "red")
    index_folders(library, runtime, [photos], load_files=load_in_this_process)

    by_name = Filters(name=unicodedata.normalize(typed, "müller*"))
    by_folder = Filters(folders=(photos / unicodedata.normalize(typed, "Größe"),))

    assert shown(library, filters=by_name) == [photos / folder / name]
    assert shown(library, filters=by_folder) == [photos / folder / name]
