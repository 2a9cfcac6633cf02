"""Recall, against ranks counted by numpy from the model's own scores."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image

from pixsearch.errors import UsageError
from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import silent
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.evaluation import Recall, evaluate
from pixsearch_trainer.features import GridStore, encode_grids
from tests.tiny_checkpoint import make_tiny_checkpoint

PICTURES = 12


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[PixelBertForRetrieval, PixelBertProcessor, list[CaptionedPicture], GridStore]:
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
    monkeypatch.setattr("pixsearch_trainer.evaluation.autocast", lambda device: nullcontext())


def recall_by_hand(ranks: list[int]) -> dict[str, float]:
    at = {f"r@{k}": 100 * sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)}
    return {**at, "median_rank": float(np.median(ranks))}


def test_recall_is_the_percent_of_ranks_within_k() -> None:
    recall = Recall.of(torch.tensor([1, 2, 6, 11]))

    assert recall == Recall(r1=25.0, r5=50.0, r10=75.0, median_rank=4.0)


@torch.no_grad()
def test_both_stages_and_directions_agree_with_ranks_counted_by_hand(
    measured: tuple[PixelBertForRetrieval, PixelBertProcessor, list[CaptionedPicture], GridStore],
) -> None:
    model, processor, pictures, grids = measured
    sentences = list(dict.fromkeys(text for picture in pictures for text in picture.captions))
    owners = [[text in picture.captions for picture in pictures] for text in sentences]
    (grid, _), (ids, mask) = grids.read(range(PICTURES)), processor.words(sentences)
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
    measured: tuple[PixelBertForRetrieval, PixelBertProcessor, list[CaptionedPicture], GridStore],
) -> None:
    model, processor, pictures, grids = measured

    direction = evaluate(model, processor, pictures, grids, candidates=(PICTURES, 99)).text_to_image

    assert direction.reranked[PICTURES] == direction.reranked[99]


def test_a_sample_is_the_same_for_the_same_seed(
    measured: tuple[PixelBertForRetrieval, PixelBertProcessor, list[CaptionedPicture], GridStore],
) -> None:
    model, processor, pictures, grids = measured

    once, again, other = (
        evaluate(model, processor, pictures, grids, candidates=(3,), sample=4, seed=seed) for seed in (1, 1, 2)
    )

    assert once == again
    assert once != other


def test_no_picture_is_a_usage_error(
    measured: tuple[PixelBertForRetrieval, PixelBertProcessor, list[CaptionedPicture], GridStore],
) -> None:
    model, processor, _, grids = measured

    with pytest.raises(UsageError, match="no picture"):
        evaluate(model, processor, [], grids)
