"""Recall, against ranks counted by numpy from the model's own scores."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixsearch.errors import UsageError
from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import word_tensors
from pixsearch.progress import silent
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.evaluation.measure import evaluate, nearest_items
from pixsearch_trainer.evaluation.recall import Direction, Recall
from pixsearch_trainer.evaluation.scoring import PairScorer
from pixsearch_trainer.features import GridStore, encode_grids
from tests.tiny_checkpoint import make_tiny_checkpoint

PICTURES = 12
Measured = tuple[PixelBertForRetrieval, PixelBertProcessor, list[CaptionedPicture], GridStore]


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory,
) -> Measured:
    """A model whose joint stream alone has a say, and pictures of noise with two captions each."""
    folder = tmp_path_factory.mktemp("evaluation")
    model, processor = load_checkpoint(make_tiny_checkpoint(folder / "model"))
    torch.manual_seed(3)
    for parameter in model.itm_head.parameters():
        torch.nn.init.normal_(parameter)
    model.similarity_weight.data.zero_()
    noise = np.random.default_rng(0)
    pictures = []
    for number in range(PICTURES):
        file = folder / f"{number}.png"
        Image.fromarray(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file)
        letter = chr(ord("a") + number)
        pictures.append(CaptionedPicture(file, (f"{letter}{letter}", f"{letter}b"), "val"))
    return model, processor, pictures, encode_grids(model, processor, pictures, folder / "cache", silent)


@pytest.fixture(autouse=True)
def in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every machine: what is told apart by the last digits of bf16 cannot be counted by hand."""
    monkeypatch.setattr("pixsearch_trainer.evaluation.scoring.autocast", lambda device: nullcontext())


def recall_by_hand(ranks: list[int]) -> dict[str, float]:
    at = {f"r@{k}": 100 * sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)}
    return {**at, "median_rank": float(np.median(ranks))}


def test_recall_is_the_percent_of_ranks_within_k() -> None:
    recall = Recall.of(torch.tensor([1, 2, 6, 11]))

    assert recall == Recall(r1=25.0, r5=50.0, r10=75.0, median_rank=4.0)


@torch.no_grad()
def test_both_stages_and_directions_agree_with_ranks_counted_by_hand(
    measured: Measured,
) -> None:
    model, processor, pictures, grids = measured
    sentences = list(dict.fromkeys(text for picture in pictures for text in picture.captions))
    owners = [[text in picture.captions for picture in pictures] for text in sentences]
    (grid, _), (ids, mask) = grids.read(range(PICTURES)), word_tensors(processor, sentences)
    similarity = (model.embed_text(ids, mask) @ model.embed_image(grid).T).numpy()
    match = np.stack(
        [
            model.match(ids[[row]].expand(PICTURES, -1), mask[[row]].expand(PICTURES, -1), grid, torch.tensor(scores))
            for row, scores in enumerate(similarity)
        ]
    )
    right = np.array(owners)

    def ranks(similarity: np.ndarray, match: np.ndarray, right: np.ndarray, k: int) -> tuple[list[int], list[int]]:
        first, second = [], []
        for near, close, own in zip(similarity, match, right, strict=True):
            order = sorted(range(len(near)), key=lambda item: -near[item])
            first.append(1 + min(order.index(item) for item in np.flatnonzero(own).tolist()))
            reranked = sorted(order[:k], key=lambda item: -close[item]) + order[k:]
            second.append(1 + min(reranked.index(item) for item in np.flatnonzero(own).tolist()))
        return first, second

    evaluation = evaluate(model, processor, pictures, grids, candidates=(5,)).as_json()

    first, second = ranks(similarity, match, right, 5)
    assert evaluation["text_to_image"] == {
        "first_stage": pytest.approx(recall_by_hand(first), abs=0.01),
        "reranked": {"5": pytest.approx(recall_by_hand(second), abs=0.01)},
    }
    first, second = ranks(similarity.T, match.T, right.T, 5)
    assert evaluation["image_to_text"] == {
        "first_stage": pytest.approx(recall_by_hand(first), abs=0.01),
        "reranked": {"5": pytest.approx(recall_by_hand(second), abs=0.01)},
    }
    assert evaluation["text_to_image"]["first_stage"] != evaluation["text_to_image"]["reranked"]["5"]


def test_more_candidates_than_pictures_are_all_pictures(
    measured: Measured,
) -> None:
    model, processor, pictures, grids = measured

    direction = evaluate(model, processor, pictures, grids, candidates=(PICTURES, 99)).text_to_image

    assert direction.reranked[PICTURES] == direction.reranked[99]


def test_a_sample_is_the_same_for_the_same_seed(
    measured: Measured,
) -> None:
    model, processor, pictures, grids = measured

    once, again, other = (
        evaluate(model, processor, pictures, grids, candidates=(3,), sample=4, seed=seed) for seed in (1, 1, 2)
    )

    assert once == again
    assert once != other


def test_no_picture_is_a_usage_error(
    measured: Measured,
) -> None:
    model, processor, _, grids = measured

    with pytest.raises(UsageError, match="no picture"):
        evaluate(model, processor, [], grids)


def test_a_smaller_number_of_candidates_is_read_from_the_largest(measured: Measured) -> None:
    model, processor, pictures, grids = measured

    together = evaluate(model, processor, pictures, grids, candidates=(2, 7)).text_to_image.reranked
    alone = [evaluate(model, processor, pictures, grids, candidates=(k,)).text_to_image.reranked[k] for k in (2, 7)]

    assert [together[2], together[7]] == alone
    assert together[2] != together[7]


def test_all_items_are_re_ranked_on_request(measured: Measured) -> None:
    model, processor, pictures, grids = measured

    whole = evaluate(model, processor, pictures, grids, candidates=(), full=True)

    captions = whole.captions
    assert captions > PICTURES
    by_number = evaluate(model, processor, pictures, grids, candidates=(PICTURES, captions))
    assert whole.text_to_image.reranked == {PICTURES: by_number.text_to_image.reranked[PICTURES]}
    assert whole.image_to_text.reranked == {captions: by_number.image_to_text.reranked[captions]}


def test_figures_do_not_depend_on_how_many_pairs_are_scored_at_once(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor, pictures, grids = measured
    whole = evaluate(model, processor, pictures, grids, candidates=(3, 5))

    monkeypatch.setattr("pixsearch_trainer.evaluation.measure._PAIRS_AT_ONCE", 11)
    monkeypatch.setattr("pixsearch_trainer.evaluation.scoring._PAIRS_A_BATCH", 7)

    assert evaluate(model, processor, pictures, grids, candidates=(3, 5)) == whole


def test_folds_are_parts_measured_by_themselves_and_averaged(measured: Measured, tmp_path: Path) -> None:
    model, processor, pictures, grids = measured
    parts = []
    for part in (pictures[:6], pictures[6:]):
        own = encode_grids(model, processor, part, tmp_path, silent)
        parts.append(evaluate(model, processor, part, own, candidates=(3,)))

    both = evaluate(model, processor, pictures, grids, candidates=(3,), folds=2)

    one, other = (part.text_to_image.reranked[3] for part in parts)
    assert both.text_to_image.reranked[3].r1 == pytest.approx((one.r1 + other.r1) / 2)
    assert both.text_to_image.reranked[3].median_rank == pytest.approx((one.median_rank + other.median_rank) / 2)
    assert both.image_to_text == Direction.mean([part.image_to_text for part in parts])
    assert (both.pictures, both.captions) == (12, parts[0].captions + parts[1].captions)
    with pytest.raises(UsageError, match="12 pictures are not 5 equal folds"):
        evaluate(model, processor, pictures, grids, folds=5)


def test_a_querys_time_is_that_of_both_stages_and_only_taken_where_asked_for(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock of which the first stage takes half a millisecond, and a pair a whole one."""
    model, processor, pictures, grids = measured
    clock = 0.0
    find, match = PairScorer.find_pictures, PairScorer.match

    def slow_find(self: PairScorer, caption: int, k: int) -> torch.Tensor:
        nonlocal clock
        clock += 0.0005
        return find(self, caption, k)

    def slow_match(self: PairScorer, captions: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
        nonlocal clock
        clock += 0.001 * len(captions)
        return match(self, captions, pictures)

    monkeypatch.setattr(PairScorer, "find_pictures", slow_find)
    monkeypatch.setattr(PairScorer, "match", slow_match)
    monkeypatch.setattr(time, "perf_counter", lambda: clock)

    timed = evaluate(model, processor, pictures, grids, candidates=(1, PICTURES), timed=True).text_to_image
    untimed = evaluate(model, processor, pictures, grids, candidates=(1,)).text_to_image

    times = [recall.milliseconds for recall in (timed.first_stage, timed.reranked[1], timed.reranked[PICTURES])]
    assert times == pytest.approx([0.5, 1.5, 0.5 + PICTURES])
    assert untimed.first_stage.milliseconds is None
    assert "milliseconds" not in untimed.first_stage.as_json()


@pytest.mark.parametrize(
    ("similarity", "right", "k", "nearest"),
    [
        ([0.1, 0.9, 0.5, 0.7], [2], 3, [1, 3, 2]),
        ([0.9, 0.5, 0.5, 0.1], [1], 2, [0, 2]),  # the right one is tied at the border, and stays outside
        ([0.5, 0.5, 0.5, 0.5], [0, 1], 3, [2, 3, 0]),
        ([float("nan"), 0.5, float("nan"), 0.1], [0], 4, [2, 1, 3, 0]),
    ],
)
def test_candidates_of_equal_similarity_are_taken_to_the_models_disadvantage(
    similarity: list[float], right: list[int], k: int, nearest: list[int]
) -> None:
    matches = torch.zeros(1, 4, dtype=torch.bool)
    matches[0, right] = True

    assert nearest_items(torch.tensor([similarity]), matches, k).tolist() == [nearest]
