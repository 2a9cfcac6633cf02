"""Pairs known to be right or wrong, from captioned pictures and from judged queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pixsearch.model.late_scores import ReadText
from pixsearch.search.runtime import Floats
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.evaluation.encoding import EncodedPictures
from pixsearch_trainer.evaluation.judged import JudgedSearch
from pixsearch_trainer.evaluation.known_pairs import caption_pairs, choose_pictures, judged_pairs
from tests.colour_runtime import ColourRuntime


class OnALine(ColourRuntime):
    """Pictures and texts are numbers, and closer numbers are more similar.

    The match of text t with picture p is 100 t + p, and the late score is a tenth of that.
    """

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        angles = np.array([float(text.split()[-1]) for text in texts]) / 100
        return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)

    def read_texts(self, texts: Sequence[str]) -> list[ReadText]:
        nothing = np.zeros((1, 2), np.float32)
        return [
            ReadText(np.array([int(text.split()[-1])]), embedding, nothing, nothing[:, 0], 0.0)
            for text, embedding in zip(texts, self.embed_texts(texts), strict=True)
        ]

    def late_scores(self, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats) -> Floats:
        assert embeddings == pytest.approx(self.embed_texts([str(grid[0]) for grid in grids]))
        return np.array([[10 * text.ids[0] + grid[0] / 10 for grid in grids] for text in texts], np.float32)

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        return 10 * late_scores.round(1)


def encoded(count: int, near_misses: tuple[str, ...] = ("not 50",)) -> EncodedPictures:
    runtime = OnALine()
    pictures = [
        CaptionedPicture(
            Path(f"{number}.png"), (f"a {number}", "never 99"), queries=(f"{number}",), near_misses=near_misses
        )
        for number in range(count)
    ]
    embeddings = runtime.embed_texts([str(number) for number in range(count)])
    return EncodedPictures(pictures, embeddings, [bytes([number]) for number in range(count)], {})


def test_own_texts_are_right_near_misses_wrong_and_the_nearest_others_neither() -> None:
    pairs = caption_pairs(OnALine(), encoded(20))

    first = pairs.part(pairs.groups == 0)
    # Picture 0's nearest are 1, 2, ..., 19. From the 9th to the 19th, 9, 12, 15 and 18 are chosen.
    assert list(zip(first.logits, first.right, first.queries, strict=True)) == [
        (0, True, 0),
        (0, True, 1),
        (5000, False, 2),
        *((other, False, query) for query in (0, 1) for other in (9, 12, 15, 18)),
    ]
    assert first.present.tolist() == [query < 2 for query in first.queries]
    assert (10 * first.late).tolist() == pytest.approx(first.logits.tolist(), rel=1e-5)


def test_right_pairs_weigh_as_in_a_search_and_near_misses_a_tenth_of_what_is_wrong() -> None:
    pairs = caption_pairs(OnALine(), encoded(20))

    near = pairs.logits >= 5000
    assert pairs.weights.sum() == pytest.approx(len(pairs.weights))
    assert pairs.weights[pairs.right].sum() / len(pairs.weights) == pytest.approx(0.06)
    assert pairs.weights[near].sum() / len(pairs.weights) == pytest.approx(0.094)


def test_without_near_misses_the_nearest_stand_for_them() -> None:
    pairs = caption_pairs(OnALine(), encoded(20, near_misses=()))

    first = pairs.part((pairs.queries == 0) & ~pairs.right)
    assert first.logits.tolist() == [1, 4, 7, 10, 13, 16, 19]
    assert pairs.weights[pairs.right].sum() / len(pairs.weights) == pytest.approx(0.06)


def test_pictures_with_near_misses_are_chosen_where_there_are_enough() -> None:
    def chosen(near: int) -> list[bool]:
        pictures = [*encoded(near).pictures, *encoded(60, near_misses=()).pictures]
        return [bool(picture.near_misses) for picture in choose_pictures(pictures, 50)]

    assert (all(chosen(50)), all(chosen(49)), len(chosen(49))) == (True, False, 50)


def test_what_is_searched_together_is_no_more_than_the_judged_album_has() -> None:
    pairs = caption_pairs(OnALine(), encoded(250))

    of_text_0 = pairs.part((pairs.queries == 0) & ~pairs.right)
    of_text_249 = pairs.part((pairs.groups == 249) & ~pairs.right & (pairs.logits < 100 * 250))
    assert of_text_0.logits.max() < 125
    assert of_text_249.logits.min() >= 100 * 50  # the near miss
    assert (pairs.part((pairs.groups == 249) & ~pairs.right).logits % 100).size == 17


def test_judged_queries_have_their_candidates_right_or_wrong() -> None:
    search = JudgedSearch(
        similarity=np.array([[0.9, 0.5, 0.1], [0.3, 0.2, 0.1]], np.float32),
        right=np.array([[False, True, True], [False, False, False]]),
        nearest=np.array([[0, 1], [0, 1]]),
        late=np.array([[0.3, 0.4], [0.1, 0.2]], np.float32),
        logits=np.array([[3.0, 4.0], [1.0, 2.0]], np.float32),
    )

    pairs = judged_pairs(search)

    assert pairs.scores("joint").tolist() == [3, 4, 1, 2]
    assert pairs.scores("late").tolist() == pytest.approx([0.3, 0.4, 0.1, 0.2])
    assert pairs.right.tolist() == [False, True, False, False]
    assert pairs.queries.tolist() == pairs.groups.tolist() == [0, 0, 1, 1]
    assert pairs.present.tolist() == [True, True, False, False]
