from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixsearch import Hit, Library, Picture, Query, SearchEngine, Words
from pixsearch.errors import ModelMismatch, PictureError, UsageError
from pixsearch.metadata import Metadata
from pixsearch.model.late_scores import ReadText
from pixsearch.search.hits import percent
from pixsearch.search.runtime import Floats
from tests.colour_runtime import ColourRuntime
from tests.photos import make_photo, picture_bytes
from tests.search.conftest import Fill, random_colours

# Dark red is pure red, so it is the most similar. Bright pink has more red in it, so it matches better.
REDS = {"dark red.png": (51, 0, 0), "pink.png": (255, 102, 102), "blue.png": (0, 0, 255)}


def names(hits: list[Hit]) -> list[str]:
    return [hit.path.name for hit in hits]


def test_similarities_matches_and_ranks_are_those_worked_out_by_hand(fill: Fill) -> None:
    hits = SearchEngine(fill(REDS), ColourRuntime()).search("red", k=3)

    assert names(hits) == ["pink.png", "dark red.png", "blue.png"]
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert [hit.similarity_rank for hit in hits] == [2, 1, 3]
    # pink is (1, 0.4, 0.4): cosine with red 1 / sqrt(1 + 0.16 + 0.16); matches are 10 x red - 5
    assert [hit.similarity for hit in hits] == pytest.approx([1 / math.sqrt(1.32), 1.0, 0.0], abs=1e-6)
    assert [hit.match for hit in hits] == pytest.approx([5.0, -3.0, -5.0], abs=1e-5)
    assert [hit.probability for hit in hits] == [None, None, None]


def test_without_re_rank_the_order_is_by_similarity_and_no_match_is_computed(fill: Fill) -> None:
    runtime = ColourRuntime()

    hits = SearchEngine(fill(REDS), runtime).search(Query((Words("red"),), rerank=False))

    assert names(hits) == ["dark red.png", "pink.png", "blue.png"]
    assert [hit.match for hit in hits] == [None, None, None]
    assert runtime.pairs_matched == 0


def test_a_model_that_is_better_at_similarity_orders_by_it_and_still_reports_the_match(fill: Fill) -> None:
    runtime = ColourRuntime(default_order="similarity")

    hits = SearchEngine(fill(REDS), runtime).search("red", k=2)

    assert names(hits) == ["dark red.png", "pink.png"]
    assert [hit.match for hit in hits] == pytest.approx([-3.0, 5.0], abs=1e-5)
    assert runtime.pairs_matched == 2  # only the hits', not all candidates'


def test_an_explicit_re_rank_overrides_the_default_order_of_the_model(fill: Fill) -> None:
    runtime = ColourRuntime(default_order="similarity")

    hits = SearchEngine(fill(REDS), runtime).search(Query((Words("red"),), rerank=True))

    assert names(hits) == ["pink.png", "dark red.png", "blue.png"]


def test_a_calibrated_model_gives_the_probability_of_each_match(fill: Fill) -> None:
    hits = SearchEngine(fill(REDS), ColourRuntime(calibrated=True)).search("red", k=1)

    assert hits[0].probability == pytest.approx(1 / (1 + math.exp(-5.0)), abs=1e-5)


def test_the_joint_stream_reads_as_many_candidates_as_the_query_sets(fill: Fill) -> None:
    runtime = ColourRuntime()

    hits = SearchEngine(fill(REDS), runtime).search(Query((Words("red"),), candidates=1), k=3)

    # Late scores equal similarities here, so dark red is read, and pink, the better match, is not.
    assert names(hits) == ["dark red.png", "pink.png", "blue.png"]
    assert [hit.match for hit in hits] == [pytest.approx(-3.0, abs=1e-5), None, None]
    assert (runtime.pairs_ordered, runtime.pairs_matched) == (3, 1)


def test_a_small_library_returns_fewer_hits(fill: Fill) -> None:
    assert len(SearchEngine(fill(REDS), ColourRuntime()).search("red", k=1000)) == 3


def test_the_first_stage_is_that_of_brute_force(fill: Fill) -> None:
    colours = random_colours(500)
    rgb = np.array(list(colours.values()), dtype=np.float64)
    cosines = rgb @ [1, 0, 0] / np.linalg.norm(rgb, axis=1)
    nearest = np.argsort(-cosines)[:20]

    hits = SearchEngine(fill(colours), ColourRuntime()).search(
        Query((Words("red"),), rerank=False, duplicates="show"), k=20
    )

    assert names(hits) == [list(colours)[i] for i in nearest]
    assert [hit.similarity for hit in hits] == pytest.approx(cosines[nearest], abs=1e-6)


def test_equal_figures_are_ordered_by_path(fill: Fill) -> None:
    greys = {f"{name}.png": (grey, grey, grey) for name, grey in (("c", 51), ("a", 102), ("b", 204))}

    hits = SearchEngine(fill(greys), ColourRuntime()).search(Query((Words("red green blue"),), rerank=False))

    assert len({hit.similarity for hit in hits}) == 1
    assert names(hits) == ["a.png", "b.png", "c.png"]


def test_equal_matches_are_ordered_by_similarity(fill: Fill) -> None:
    # The match depends only on red, and more blue lowers the similarity. There are enough shuffled pictures to reveal
    # an unstable sort.
    pictures = {f"{red}-{200 - blue}.png": (red, 0, blue) for red in (102, 51) for blue in range(100)}

    query = Query((Words("red"),), candidates=200, duplicates="show")

    hits = SearchEngine(fill(pictures), ColourRuntime()).search(query, k=200)

    assert len({hit.match for hit in hits}) == 2
    assert names(hits) == list(pictures)


def test_the_last_digits_of_a_match_do_not_decide(fill: Fill) -> None:
    class Trembling(ColourRuntime):
        """A runtime whose matches vary in the last digits, as they do with a different batch size."""

        def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
            return super().match(texts, grids, late_scores) + np.linspace(0, 2e-6, len(grids), dtype=np.float32)

    pictures = {f"{200 - blue}.png": (102, 0, blue) for blue in range(50)}

    query = Query((Words("red"),), candidates=50, duplicates="show")

    hits = SearchEngine(fill(pictures), Trembling()).search(query, k=50)

    assert names(hits) == list(pictures)


def test_copies_of_a_picture_are_one_hit(fill: Fill) -> None:
    library = fill({"b.png": (255, 0, 0), "a.png": (255, 0, 0), "other.png": (0, 255, 0)})

    hits = SearchEngine(library, ColourRuntime()).search("red")

    assert names(hits) == ["a.png", "other.png"]
    assert [path.name for path in hits[0].copies] == ["b.png"]


def test_a_photo_that_left_the_library_is_not_a_hit_though_the_index_still_has_it(fill: Fill) -> None:
    library = fill(REDS)
    with library.writing() as writer:
        writer.forget([os.fsencode(library.folder.parent / "photos" / "pink.png")])

    assert names(SearchEngine(library, ColourRuntime()).search("red")) == ["dark red.png", "blue.png"]


def test_a_picture_finds_those_like_it_by_similarity(fill: Fill, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), (10, 0, 250)).save(tmp_path / "query.png")

    hits = SearchEngine(fill(REDS), ColourRuntime()).search(Query((Picture(tmp_path / "query.png"),)))

    assert names(hits) == ["blue.png", "pink.png", "dark red.png"]
    assert hits[0].similarity == pytest.approx(250 / math.hypot(10, 250), abs=1e-6)
    assert hits[0].match is None


def test_the_error_for_an_unreadable_picture_names_it(fill: Fill, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")

    with pytest.raises(PictureError, match=r"text\.jpg: not a picture"):
        SearchEngine(fill(REDS), ColourRuntime()).search(Query((Picture(tmp_path / "text.jpg"),)))


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_parts_are_added_by_weight(fill: Fill) -> None:
    library = fill({"red.png": (255, 0, 0), "purple.png": (153, 0, 204), "blue.png": (0, 0, 255)})
    query = Query((Words("red", 3.0), Words("blue", 4.0)), evidence="shows")

    hits = SearchEngine(library, ColourRuntime(calibrated=True)).search(query)

    # (3, 0, 4) / 5 is exactly purple. Matches: purple 3 x (6 - 5) + 4 x (8 - 5), blue 3 x -5 + 4 x 5, red 3 x 5 + 4 x
    # -5. The hit's probability is that of the first words. The score is the product of the probabilities of both parts,
    # each raised to the power of its weight.
    assert names(hits) == ["purple.png", "blue.png", "red.png"]
    assert [hit.match for hit in hits] == pytest.approx([15.0, 5.0, -5.0], abs=1e-4)
    assert [hit.similarity for hit in hits] == pytest.approx([1.0, 0.8, 0.6], abs=1e-6)
    assert hits[0].probability == pytest.approx(sigmoid(1), abs=1e-5)
    assert hits[0].score == pytest.approx(sigmoid(1) ** 3 * sigmoid(3) ** 4, abs=1e-5)


def test_parts_that_cancel_each_other_out_are_refused(fill: Fill) -> None:
    with pytest.raises(UsageError, match="cancel"):
        SearchEngine(fill(REDS), ColourRuntime()).search(Query((Words("red"), Words("red", -1.0))))


def test_a_library_indexed_by_another_model_is_refused(fill: Fill) -> None:
    engine = SearchEngine(fill(REDS), ColourRuntime(fingerprint="ff" * 32))

    with pytest.raises(ModelMismatch, match=r"c0c0c0c0.*ffffffff.*pixsearch index .*--switch-model"):
        engine.search("red")


def test_an_empty_library_has_no_hits(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library:
        assert SearchEngine(library, ColourRuntime()).search("red") == []


@pytest.mark.parametrize("k", [0, -3])
def test_fewer_than_one_hit_is_refused(fill: Fill, k: int) -> None:
    with pytest.raises(UsageError, match="must be at least 1"):
        SearchEngine(fill(REDS), ColourRuntime()).search("red", k=k)


def test_searching_again_gives_the_same_hits(fill: Fill) -> None:
    library = fill(random_colours(200))

    first, second = (SearchEngine(library, ColourRuntime()).search("green blue", k=50) for _ in range(2))

    assert first == second


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(1.0, "100%"), (0.994, "99%"), (0.0995, "10%"), (0.0994, "9.9%"), (0.0123, "1.2%"), (0.0004, "0.0%")],
)
def test_a_probability_is_shown_in_two_digits(probability: float, shown: str) -> None:
    assert percent(probability) == shown


def test_words_with_a_negative_weight_are_subtracted_in_both_stages(fill: Fill) -> None:
    library = fill({"red.png": (255, 0, 0), "purple.png": (255, 0, 255)})
    query = Query((Words("red"), Words("blue", -0.5)))

    hits = SearchEngine(library, ColourRuntime(calibrated=True)).search(query)

    # The query points to (1, 0, -0.5). Matches: red 5 - 0.5 x -5, purple 5 - 0.5 x 5. Probabilities are for "red"
    # alone.
    assert names(hits) == ["red.png", "purple.png"]
    assert [hit.match for hit in hits] == pytest.approx([7.5, 2.5], abs=1e-5)
    assert [hit.similarity for hit in hits] == pytest.approx([1 / math.sqrt(1.25), 0.5 / math.sqrt(2.5)], abs=1e-6)
    assert [hit.probability for hit in hits] == pytest.approx([1 / (1 + math.exp(-5))] * 2, abs=1e-5)


def test_a_picture_and_words_with_a_negative_weight_have_no_probability(fill: Fill, tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), "red").save(tmp_path / "query.png")
    query = Query((Picture(tmp_path / "query.png"), Words("blue", -1.0)))

    hits = SearchEngine(fill(REDS), ColourRuntime(calibrated=True)).search(query)

    assert hits[0].match is not None
    assert [hit.probability for hit in hits] == [None] * 3


def test_hits_below_the_threshold_are_left_out(fill: Fill) -> None:
    engine = SearchEngine(fill(REDS), ColourRuntime(calibrated=True))

    # Probabilities: pink 0.9933, dark red 1 / (1 + e^3) = 0.0474, blue 0.0067
    def found(threshold: float) -> list[str]:
        return names(engine.search(Query((Words("red"),), threshold=threshold, evidence="shows")))

    assert found(0.04) == ["pink.png", "dark red.png"]
    assert found(0.05) == ["pink.png"]
    assert found(0.995) == []


def test_a_threshold_applies_to_all_candidates_if_similarity_decides_the_order(fill: Fill) -> None:
    engine = SearchEngine(fill(REDS), ColourRuntime(calibrated=True, default_order="similarity"))

    assert names(engine.search(Query((Words("red"),), threshold=0.9), k=1)) == ["pink.png"]


def test_unlikely_hits_come_after_likely_ones_even_if_similarity_decides_the_order(fill: Fill) -> None:
    """Dark red is more similar than pink, but has a probability of 0.0474."""
    hits = SearchEngine(fill(REDS), ColourRuntime(calibrated=True, default_order="similarity")).search("red")

    assert names(hits) == ["pink.png", "dark red.png", "blue.png"]
    assert [hit.likely for hit in hits] == [True, False, False]
    assert [(hit.rank, hit.similarity_rank) for hit in hits] == [(1, 2), (2, 1), (3, 3)]


def test_without_a_probability_nothing_is_likely_or_not(fill: Fill) -> None:
    hits = SearchEngine(fill(REDS), ColourRuntime(calibrated=True)).search(Query((Words("red"),), rerank=False))

    assert [hit.likely for hit in hits] == [None] * 3


def test_a_threshold_needs_a_calibrated_model(fill: Fill) -> None:
    with pytest.raises(UsageError, match="pixsearch calibrate"):
        SearchEngine(fill(REDS), ColourRuntime()).search(Query((Words("red"),), threshold=0.5))


def test_a_threshold_for_a_query_without_probabilities_is_refused(fill: Fill) -> None:
    with pytest.raises(UsageError, match="a threshold requires search text"):
        SearchEngine(fill(REDS), ColourRuntime()).search(Query((Picture(picture_bytes()),), threshold=0.5))
    with pytest.raises(UsageError, match="--threshold and --no-rerank cannot be used together"):
        Query((Words("red"),), threshold=0.5, rerank=False)
    with pytest.raises(UsageError, match="must be between 0 and 1"):
        Query((Words("red"),), threshold=1.5)


NEARLY = {"red.png": (250, 0, 0), "nearly red.png": (240, 9, 0), "blue.png": (0, 0, 255), "dark red.png": (99, 0, 0)}
"""Red and nearly red are near-duplicates, 10 / 255 apart. Dark red has red's embedding, but is not a near-duplicate."""


def test_near_duplicates_are_listed_in_one_hit(fill: Fill) -> None:
    hits = SearchEngine(fill(NEARLY), ColourRuntime()).search("red")

    assert names(hits) == ["red.png", "dark red.png", "blue.png"]
    assert [[path.name for path in hit.similar] for hit in hits] == [["nearly red.png"], [], []]
    assert [hit.similarity_rank for hit in hits] == [2, 1, 3]


def test_folded_pictures_do_not_cost_hits(fill: Fill) -> None:
    many = {f"{shade}.png": (shade, 0, 0) for shade in range(235, 255)} | {"blue.png": (0, 0, 255)}
    query = Query((Words("red"),), candidates=1)

    assert len(SearchEngine(fill(many), ColourRuntime()).search(query, k=2)) == 2


def test_duplicates_can_be_shown_each_as_a_hit(fill: Fill) -> None:
    library = fill(NEARLY | {"copy.png": (250, 0, 0)})

    hits = SearchEngine(library, ColourRuntime()).search(
        Query((Words("red"),), duplicates="show", evidence="shows"), k=4
    )

    assert names(hits) == ["copy.png", "red.png", "nearly red.png", "dark red.png"]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]
    assert [(hit.copies, hit.similar) for hit in hits] == [((), ())] * 4


def test_a_picture_without_a_usable_embedding_is_refused(indexed: Library, runtime: ColourRuntime) -> None:
    black = Picture(picture_bytes("black"))  # 0 / 0 in the tests' runtime

    with pytest.warns(RuntimeWarning), pytest.raises(PictureError, match="could not embed it"):
        SearchEngine(indexed, runtime).search(Query((black,)))


def test_a_picture_of_the_library_is_found_by_its_id(indexed: Library, runtime: ColourRuntime) -> None:
    [blue] = SearchEngine(indexed, runtime).search(Query((Words("blue"),), rerank=False), k=1)

    found = SearchEngine(indexed, runtime).search(Query((Picture(blue.id),)), k=1)

    assert [hit.path.name for hit in found] == ["blue.png"]
    assert runtime.pictures_encoded == 0
    with pytest.raises(PictureError, match="has no picture 1000"):
        SearchEngine(indexed, runtime).search(Query((Picture(1000),)))


def test_a_photo_of_the_library_is_not_encoded_again_and_need_not_exist(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    (photos / "blue.png").unlink()
    query = Query((Picture(photos / "blue.png"),))

    assert SearchEngine(indexed, runtime).search(query, k=1)[0].path.name == "blue.png"
    assert runtime.pictures_encoded == 0


def test_a_photo_of_the_library_that_has_changed_is_encoded_again(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    make_photo(photos / "blue.png", "red").write_bytes(picture_bytes("red", size=(9, 9)))
    query = Query((Picture(photos / "blue.png"),))

    assert SearchEngine(indexed, runtime).search(query, k=1)[0].path.name == "red.png"


def test_a_picture_may_come_as_bytes(fill: Fill) -> None:
    query = Query((Picture(picture_bytes("blue")),))

    assert names(SearchEngine(fill(REDS), ColourRuntime()).search(query, k=1)) == ["blue.png"]


def test_threads_may_share_an_engine(fill: Fill) -> None:
    engine = SearchEngine(fill(random_colours(100)), ColourRuntime())
    alone = engine.search("red")

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(engine.search, ["red"] * 64))

    assert answers == [alone] * 64


def test_a_notebook_shows_the_photo_of_a_hit_or_an_error(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "<red>.png", "red")
    hit = Hit(1, photo, 1, 1.0, 1, None, 0.4, 0.5, (), Metadata("PNG", 8, 8), (), ())

    shown = hit._repr_html_()
    photo.unlink()
    gone = hit._repr_html_()

    assert shown.startswith('<p><img src="data:image/jpeg;base64,/9j/')
    assert "&lt;red&gt;.png, 50%" in shown
    assert "<img" not in gone
    assert "No such file" in gone
