from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixsearch import Library, SearchEngine
from pixsearch.search.explain import Explanation, draw, explain_picture, heat, smoothed
from tests.colour_runtime import ColourRuntime


def test_a_photo_of_the_library_is_explained_by_its_stored_grid(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    blue = indexed.photo(photos / "blue.png")
    assert blue is not None

    why = SearchEngine(indexed, runtime).explain("red blue", blue.content_id)

    assert why is not None
    assert why.words == ("red", "blue")
    assert why.maps.shape == (2, 8, 8)  # the runtime's grid is 2 x 2
    assert [where for _, _, where in why.strongest()] == ["bottom left", "bottom right"]
    assert (why.match, why.probability) == (5.0, None)  # 10 x blue - 5
    assert runtime.pictures_encoded == 0


def test_a_picture_that_is_not_in_the_library_has_no_explanation(indexed: Library, runtime: ColourRuntime) -> None:
    assert SearchEngine(indexed, runtime).explain("red", 1000) is None


def test_any_picture_is_explained(runtime: ColourRuntime) -> None:
    runtime.calibrated = True

    why = explain_picture(runtime, "blue", Image.new("RGB", (30, 20), "blue"))

    assert why.probability == pytest.approx(1 / (1 + np.exp(-5)), abs=1e-6)


def test_articles_prepositions_and_marks_have_no_map(indexed: Library, runtime: ColourRuntime, photos: Path) -> None:
    blue = indexed.photo(photos / "blue.png")
    assert blue is not None

    why = SearchEngine(indexed, runtime).explain("The red dog in a blue sky , of course", blue.content_id)

    assert why is not None
    assert why.words == ("red", "dog", "blue", "sky", "course")
    assert len(why.maps) == 5
    # The runtime finds word n of ten in column n, which is 4 of the map's 40 columns.
    columns = [int(one.argmax()) % 40 // 4 for one in why.maps]
    assert columns == [1, 2, 5, 6, 9]


def test_a_query_without_a_word_that_can_be_seen_has_no_map(runtime: ColourRuntime) -> None:
    why = explain_picture(runtime, "in the", Image.new("RGB", (30, 20), "blue"))

    assert why.words == ()
    assert len(why.regions) == 0


def test_a_map_is_smoothed_by_a_gaussian_of_85_hundredths_of_a_cell() -> None:
    [[row, *others]] = smoothed(np.array([[[0.0, 1.0]]], dtype=np.float32), 0.0)

    # At x, the right cell, centred at 1.5, has a weight of exp(-(x - 1.5)^2 / 1.445), and the left one, centred at 0.5,
    # of exp(-(x - 0.5)^2 / 1.445), so the right one's share is 1 / (1 + exp((2 - 2 x) / 1.445)).
    assert row[0] == pytest.approx(0.2295, abs=1e-4)  # x = 0.125
    assert row[-1] == pytest.approx(0.7705, abs=1e-4)  # x = 1.875
    assert all((other == row).all() for other in others)


def test_a_map_is_shifted_by_the_offset_of_the_cells() -> None:
    [[row, *_]] = smoothed(np.array([[[0.0, 1.0]]], dtype=np.float32), 0.25)

    assert row[1] == pytest.approx(0.2295, abs=1e-4)  # the value from x = 0.125 is now at 0.375


def test_one_cell_that_shows_a_word_is_lit_and_cells_far_from_it_are_dark() -> None:
    grid = np.zeros((1, 9, 9), dtype=np.float32)
    grid[0, 2, 6] = 1.0

    [region] = Explanation(("ball",), smoothed(grid, 0.0), 0.0, None).regions

    assert region[10, 26] == 1.0  # the centre of cell 2, 6
    assert region[:, :12].max() == 0.0
    assert region[24:].max() == 0.0
    assert (region > 0).mean() == pytest.approx(0.20, abs=0.02)


def test_the_best_8_hundredths_are_lit_and_the_worst_80_dark() -> None:
    cosines = np.arange(100, dtype=np.float32).reshape(1, 10, 10)

    region = Explanation(("ball",), cosines, 0.0, None).regions.ravel()

    # Between the quantiles 79.2 and 91.08, the brightness at a fraction s is s^2 (3 - 2 s). 85 is at s = 0.4882.
    assert region[:80].max() == 0.0
    assert region[85] == pytest.approx(0.4823, abs=1e-3)
    assert region[92:].min() == 1.0


def test_a_uniform_map_is_dark() -> None:
    [region] = Explanation(("ball",), np.full((1, 8, 8), 0.3, dtype=np.float32), 0.0, None).regions

    assert region.max() == 0.0


def test_strongest_gives_the_largest_cosine_and_its_location() -> None:
    cosines = np.zeros((3, 3, 6), dtype=np.float32)
    cosines[0, 0, 5], cosines[1, 1, 2], cosines[2, 2, 0] = 0.5, 0.25, 0.125

    why = Explanation(("a", "b", "c"), cosines, 0.0, None)

    assert why.strongest() == [("a", 0.5, "top right"), ("b", 0.25, "middle"), ("c", 0.125, "bottom left")]


def test_a_picture_stays_bright_where_the_region_is() -> None:
    white = Image.new("RGB", (100, 100), "white")

    lit = heat(white, np.array([[1.0, 0.0], [0.0, 0.0]], dtype=np.float32))

    assert lit.getpixel((5, 5)) == (255, 255, 255)
    assert lit.getpixel((95, 95)) == (50, 50, 50)


def test_the_sheet_has_the_picture_and_one_for_each_word() -> None:
    why = Explanation(("a", "b", "c", "d"), np.ones((4, 2, 2), dtype=np.float32), 1.0, 0.5)

    sheet = draw(why, Image.new("RGB", (480, 240), "red"), edge=240)

    # Five panels of 240 x 120 in rows of four, each with 22 pixels for its word and with gaps of 8.
    assert sheet.size == (4 * 248 + 8, 2 * 150 + 8)
    assert sheet.getpixel((10, 10)) == (255, 0, 0)
