"""Recall, from scores set by hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixsearch.errors import DatasetError, UsageError
from pixsearch.model.late_scores import ReadText
from pixsearch.progress import Progress
from pixsearch.search.runtime import Floats
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem
from pixsearch_trainer.evaluation.encoding import EncodedPictures, encode
from pixsearch_trainer.evaluation.measure import EvaluationOptions, evaluate
from pixsearch_trainer.evaluation.recall import Recall, nearest_items, rank_of_first_match
from tests.colour_runtime import ColourRuntime

# Pictures 0, 1, 2 and 3 have the captions "a" and "b", "c", "d", and "e" and "a" again.
CAPTIONS = [("a", "b"), ("c",), ("d",), ("e", "a")]
# Rows are captions, columns pictures.
SIMILARITY = [
    [0.6, 0.9, 0.1, 0.5],  # a: its pictures 0 and 3 are second and third
    [0.2, 0.1, 0.3, 0.4],  # b: 0 is third
    [0.5, 0.7, 0.6, 0.2],  # c: 1 is first
    [0.9, 0.8, 0.1, 0.7],  # d: 2 is last
    [0.1, 0.3, 0.2, 0.6],  # e: 3 is first
]
# The comments give the candidates of each caption in parentheses, for 2 and for 3 candidates, and the result.
MATCH = [
    [5.0, 1.0, 9.0, 7.0],  # a, re-ranked 2 (1, 0): 0 first; 3 (1, 0, 3): 3 first
    [8.0, 1.0, 2.0, 3.0],  # b, 2 (3, 2): 0 stays third; 3 (3, 2, 0): first
    [1.0, 2.0, 3.0, 4.0],  # c, 2 (1, 2): second; 3 (1, 2, 0): second
    [1.0, 2.0, 9.0, 3.0],  # d, 2 (0, 1) and 3 (0, 1, 3): 2 stays last
    [1.0, 6.0, 7.0, 5.0],  # e, 2 (3, 1): second; 3 (3, 1, 2): third
]
FIRST_STAGE = [2, 3, 1, 4, 1]
RERANKED = {2: [1, 3, 2, 4, 2], 3: [1, 1, 2, 4, 3], 4: [2, 1, 3, 1, 3]}
# By columns, picture 0 ranks the captions d a c b e, picture 1 a d c e b, picture 2 c b e a d (a and d tie, and the
# right one, d, is last), and picture 3 d e a b c.
FIRST_STAGE_OF_PICTURES = [2, 3, 5, 2]
RERANKED_OF_PICTURES = {2: [1, 3, 5, 1]}  # 0 of (d, a): a; 1 of (a, d): c stays; 2 of (c, b): d stays; 3 of (d, e): e


@dataclass
class ByHand(ColourRuntime):
    """A runtime with scores set by hand.

    Picture embeddings are unit axes, so a text's embedding is its row of scores.
    """

    similarity: list[list[float]] = field(default_factory=lambda: SIMILARITY)
    logits: list[list[float]] = field(default_factory=lambda: MATCH)
    pairs_ordered: int = 0
    pairs_matched: int = 0

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        return np.array([self.similarity["abcde".index(text)] for text in texts], dtype=np.float32)

    def read_texts(self, texts: Sequence[str]) -> list[ReadText]:
        nothing = np.zeros((1, 4), np.float32)
        return [
            ReadText(np.array(["abcde".index(text)]), embedding, nothing, nothing[:, 0], 0.0)
            for text, embedding in zip(texts, self.embed_texts(texts), strict=True)
        ]

    def late_scores(self, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats) -> Floats:
        assert [embedding[grid[0]] for grid, embedding in zip(grids, embeddings, strict=True)] == [1] * len(grids)
        return super().late_scores(texts, grids, embeddings)

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        pairs = np.broadcast(np.array([text.ids[0] for text in texts]), np.array([grid[0] for grid in grids]))
        return np.array([self.logit(text, picture) for text, picture in pairs], np.float32)

    def logit(self, text: int, picture: int) -> float:
        self.pairs_matched += 1
        return self.logits[text][picture]


def encoded_by(runtime: ByHand) -> EncodedPictures:
    pictures = [CaptionedPicture(Path(f"{number}.png"), captions) for number, captions in enumerate(CAPTIONS)]
    texts = dict(zip("abcde", runtime.read_texts("abcde"), strict=True))
    return EncodedPictures(pictures, np.eye(4, dtype=np.float32), [bytes([number]) for number in range(4)], texts)


def recall_of(*ranks: int) -> Recall:
    return Recall.of(np.array(ranks))


def test_recall_is_the_percent_of_ranks_within_k() -> None:
    assert recall_of(1, 2, 6, 11) == Recall(r1=25.0, r5=50.0, r10=75.0, median_rank=4.0)


def test_both_stages_and_directions_have_the_ranks_counted_by_hand() -> None:
    runtime = ByHand()

    evaluation = evaluate(runtime, encoded_by(runtime), EvaluationOptions(candidates=(2, 3, 4)))

    assert (evaluation.pictures, evaluation.captions) == (4, 5)
    assert evaluation.text_to_image.first_stage == recall_of(*FIRST_STAGE)
    assert evaluation.text_to_image.reranked == {k: recall_of(*ranks) for k, ranks in RERANKED.items()}
    assert evaluation.image_to_text.first_stage == recall_of(*FIRST_STAGE_OF_PICTURES)
    assert evaluation.image_to_text.reranked[2] == recall_of(*RERANKED_OF_PICTURES[2])


def test_several_numbers_of_candidates_cost_no_more_than_the_largest() -> None:
    runtime = ByHand()

    evaluate(runtime, encoded_by(runtime), EvaluationOptions(candidates=(2, 3)))

    # The 3 candidate captions of each picture have it among their own 3 candidates, so no further pairs are matched.
    assert runtime.pairs_matched == 5 * 3


def test_more_candidates_than_pictures_are_all_pictures() -> None:
    runtime = ByHand()

    direction = evaluate(runtime, encoded_by(runtime), EvaluationOptions(candidates=(4, 99))).text_to_image

    assert direction.reranked[4] == direction.reranked[99] == recall_of(*RERANKED[4])


def test_a_pair_that_both_directions_look_at_is_matched_once() -> None:
    runtime = ByHand()

    evaluate(runtime, encoded_by(runtime), EvaluationOptions(candidates=(4,), full=True))

    assert runtime.pairs_matched == 5 * 4


def test_all_items_are_re_ranked_on_request() -> None:
    runtime = ByHand()

    whole = evaluate(runtime, encoded_by(runtime), EvaluationOptions(candidates=(2,), full=True))

    assert whole.text_to_image.reranked == {k: recall_of(*RERANKED[k]) for k in (2, 4)}
    assert whole.image_to_text.reranked.keys() == {2, 5}


def test_without_candidates_nothing_is_matched() -> None:
    runtime = ByHand()

    assert evaluate(runtime, encoded_by(runtime), EvaluationOptions(candidates=())).text_to_image.reranked == {}
    assert runtime.pairs_matched == 0


def test_a_sample_is_the_same_for_the_same_seed_and_its_queries_search_all_items() -> None:
    runtime = ByHand()
    encoded = encoded_by(runtime)

    once, again = (evaluate(runtime, encoded, EvaluationOptions(sample=1, seed=1)).text_to_image for _ in range(2))
    drawn = {
        evaluate(runtime, encoded, EvaluationOptions(sample=1, seed=seed)).text_to_image.first_stage.median_rank
        for seed in range(9)
    }

    assert once == again
    assert len(drawn) > 1
    assert drawn <= set(FIRST_STAGE)


def test_no_picture_is_a_usage_error() -> None:
    nothing = EncodedPictures([], np.zeros((0, 4), np.float32), [], {})

    with pytest.raises(UsageError, match="no picture"):
        evaluate(ByHand(), nothing)


def test_in_folds_each_query_searches_its_own_part() -> None:
    runtime = ByHand()
    encoded = encoded_by(runtime)

    both = evaluate(runtime, encoded, EvaluationOptions((2,), full=True, folds=2))

    # a, b and c search pictures 0 and 1; d, e and a search pictures 2 and 3. Both pictures are re-ranked by match
    # score.
    assert both.text_to_image.first_stage == recall_of(2, 1, 1, 2, 1, 1)
    assert both.text_to_image.reranked == {2: recall_of(1, 1, 1, 1, 2, 2)}
    # Pictures 0 and 1 search a, b and c; 2 and 3 search d, e and a.
    assert both.image_to_text.first_stage == recall_of(1, 2, 3, 2)
    assert both.image_to_text.reranked == {2: recall_of(1, 1, 3, 1), 3: recall_of(1, 1, 2, 1)}
    assert (both.pictures, both.captions) == (4, 3 + 3)
    with pytest.raises(UsageError, match="cannot split 4 pictures into 3 equal folds"):
        evaluate(runtime, encoded, EvaluationOptions(folds=3))


def test_a_querys_time_is_that_of_both_stages_and_only_taken_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this clock, reading a text takes half a millisecond and matching a pair one millisecond."""
    clock = 0.0

    class Slow(ByHand):
        def embed_texts(self, texts: Sequence[str]) -> Floats:
            nonlocal clock
            clock += 0.0005 * len(texts)
            return super().embed_texts(texts)

        def logit(self, text: int, picture: int) -> float:
            nonlocal clock
            clock += 0.001
            return super().logit(text, picture)

    runtime = Slow()
    encoded = encoded_by(runtime)
    monkeypatch.setattr(time, "perf_counter", lambda: clock)

    timed = evaluate(runtime, encoded, EvaluationOptions(candidates=(1, 4), timed=True))
    untimed = evaluate(runtime, encoded, EvaluationOptions(candidates=(1,))).text_to_image

    # A picture query reads all 5 texts, for late interaction.
    for direction, first, read in ((timed.text_to_image, 0.5, 0.0), (timed.image_to_text, 0.0, 2.5)):
        times = [
            recall.milliseconds for recall in (direction.first_stage, direction.reranked[1], direction.reranked[4])
        ]
        assert times == pytest.approx([first, first + read + 1, first + read + 4])
    assert untimed.first_stage.milliseconds is None
    assert "milliseconds" not in untimed.first_stage.as_json()


def test_progress_counts_the_queries_of_both_directions() -> None:
    runtime, reported = ByHand(), list[Progress]()

    evaluate(runtime, encoded_by(runtime), EvaluationOptions(candidates=(2,)), on_progress=reported.append)

    assert {(one.task, one.total) for one in reported} == {("re-ranking queries", 5 + 4)}
    assert [one.done for one in reported] == list(range(1, 10))


@pytest.mark.parametrize(
    ("scores", "right", "rank"),
    [
        ([0.1, 0.9, 0.5, 0.7], [2], 3),
        ([0.1, 0.9, 0.5, 0.7], [0, 3], 2),
        ([0.5, 0.5, 0.5, 0.1], [1], 3),  # ties count as ranked above it
        ([np.nan, 0.5, 0.4, 0.1], [1], 2),
        ([np.nan, 0.5, 0.4, 0.1], [0], 4),
    ],
)
def test_the_rank_of_the_best_right_answer_is_to_the_models_disadvantage(
    scores: list[float], right: list[int], rank: int
) -> None:
    matches = np.isin(np.arange(4), right)[np.newaxis]

    assert rank_of_first_match(np.array([scores], np.float32), matches).tolist() == [rank]


@pytest.mark.parametrize(
    ("similarity", "right", "k", "nearest"),
    [
        ([0.1, 0.9, 0.5, 0.7], [2], 3, [1, 3, 2]),
        ([0.9, 0.5, 0.5, 0.1], [1], 2, [0, 2]),  # the right one ties for the last place, and stays outside
        ([0.5, 0.5, 0.5, 0.5], [0, 1], 3, [2, 3, 0]),
        ([float("nan"), 0.5, float("nan"), 0.1], [0], 4, [2, 1, 3, 0]),
    ],
)
def test_candidates_of_equal_similarity_are_taken_to_the_models_disadvantage(
    similarity: list[float], right: list[int], k: int, nearest: list[int]
) -> None:
    matches = np.isin(np.arange(4), right)[np.newaxis]

    assert nearest_items(np.array([similarity], np.float32), matches, k).tolist() == [nearest]


@pytest.fixture
def coloured(tmp_path: Path) -> list[CaptionedPicture]:
    """A red picture with two captions, a file that is not a picture, and a green picture that shares a caption."""
    Image.new("RGB", (9, 9), "red").save(tmp_path / "red.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    Image.new("RGB", (9, 9), "lime").save(tmp_path / "green.png")
    captions = {"red": ("red", "a colour"), "broken": ("blue",), "green": ("green", "a colour")}
    return [CaptionedPicture(tmp_path / f"{name}.png", texts) for name, texts in captions.items()]


def test_pictures_and_captions_are_encoded_by_the_runtime(coloured: list[CaptionedPicture]) -> None:
    runtime, readable = ColourRuntime(), [coloured[0], coloured[2]]

    encoded = encode(runtime, readable)

    assert encoded.pictures == readable
    assert encoded.embeddings.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert [np.frombuffer(grid, np.float32).tolist() for grid in encoded.grids] == [[1, 0, 0], [0, 1, 0]]
    assert encoded.texts.keys() == {"red", "a colour", "green"}
    assert encoded.texts["green"].embedding.tolist() == [0, 1, 0]


def test_a_picture_that_cannot_be_decoded_is_refused_unless_somebody_takes_its_problem(
    coloured: list[CaptionedPicture],
) -> None:
    problems = list[Problem]()

    with pytest.raises(DatasetError, match=r"broken\.png: not a picture"):
        encode(ColourRuntime(), coloured)
    encoded = encode(ColourRuntime(), coloured, on_problem=problems.append)

    assert encoded.pictures == [coloured[0], coloured[2]]
    assert "blue" not in encoded.texts
    assert [problem.file for problem in problems] == [coloured[1].file]


def test_more_pictures_than_are_encoded_at_once_stay_in_order(
    coloured: list[CaptionedPicture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixsearch_trainer.evaluation.encoding._PICTURES_AT_ONCE", 2)
    pictures = [replace(coloured[index], captions=(f"red {number}",)) for number, index in enumerate((0, 2, 2, 1, 0))]

    encoded = encode(ColourRuntime(), pictures, on_problem=lambda problem: None)

    assert encoded.pictures == [pictures[index] for index in (0, 1, 2, 4)]
    assert encoded.embeddings.argmax(1).tolist() == [0, 1, 1, 0]
    assert len(encoded.grids) == 4
