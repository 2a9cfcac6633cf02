from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixsearch import Library, SearchEngine
from pixsearch.search.explain import Explanation, draw, explain_picture, heat
from tests.colour_runtime import ColourRuntime


def test_a_photo_of_the_library_is_explained_by_what_the_library_has_of_it(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    blue = indexed.photo(photos / "blue.png")
    assert blue is not None

    why = SearchEngine(indexed, runtime).explain("red blue", blue.content_id)

    assert why is not None
    assert why.words == ("red", "blue")
    assert why.attention.tolist() == [[[0.25, 0.0], [0.5, 0.0]], [[0.0, 0.25], [0.0, 0.5]]]
    assert (why.match, why.probability) == (5.0, None)  # 10 x blue - 5
    assert runtime.pictures_encoded == 0


def test_what_is_not_in_the_library_is_not_explained(indexed: Library, runtime: ColourRuntime) -> None:
    assert SearchEngine(indexed, runtime).explain("red", 1000) is None


def test_any_picture_is_explained(runtime: ColourRuntime) -> None:
    runtime.calibrated = True

    why = explain_picture(runtime, "blue", Image.new("RGB", (30, 20), "blue"))

    assert why.probability == pytest.approx(1 / (1 + np.exp(-5)), abs=1e-6)


def test_where_most_of_a_words_attention_is_is_said() -> None:
    attention = np.zeros((3, 3, 6), dtype=np.float32)
    attention[0, 0, 5], attention[1, 1, 2], attention[2, 2, 0] = 0.5, 0.25, 0.125

    why = Explanation(("a", "b", "c"), attention, 0.0, None)

    assert why.strongest() == [("a", 0.5, "top right"), ("b", 0.25, "middle"), ("c", 0.125, "bottom left")]


def test_a_picture_stays_bright_where_the_attention_is() -> None:
    white = Image.new("RGB", (100, 100), "white")

    warm = heat(white, np.array([[1.0, 0.0], [0.0, 0.0]], dtype=np.float32))

    assert warm.getpixel((5, 5)) == (255, 255, 255)
    assert warm.getpixel((95, 95)) == (50, 50, 50)


def test_the_sheet_has_the_picture_and_one_for_each_word() -> None:
    why = Explanation(("a", "b", "c", "d"), np.ones((4, 2, 2), dtype=np.float32), 1.0, 0.5)

    sheet = draw(why, Image.new("RGB", (480, 240), "red"), edge=240)

    # Five panels of 240 x 120 in rows of four, each with 22 for its word, 8 around and between.
    assert sheet.size == (4 * 248 + 8, 2 * 150 + 8)
    assert sheet.getpixel((10, 10)) == (255, 0, 0)
