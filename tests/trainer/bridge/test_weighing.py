"""The streams count in the logit as re-ranks best on held-out pictures, in scores made up by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pixsearch.model.checkpoints import load_checkpoint
from pixsearch_trainer.bridge.weighing import weigh_similarity
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.features import GridStore
from tests.tiny_checkpoint import make_tiny_checkpoint

PICTURES = [
    CaptionedPicture(Path("0"), ("zero", "nought")),
    CaptionedPicture(Path("1"), ("one",)),
    CaptionedPicture(Path("2"), ("two",)),
]
# What the streams say apart, [captions zero, nought, one, two; pictures].
APART = torch.tensor([[0.3, 0.2, 0.1], [0.2, 0.3, 0.1], [0.1, 0.3, 0.2], [0.4, 0.1, 0.3]])
# What the joint stream adds. With f times that "zero" finds its picture for f > 1.4, "nought" for f < 2.5,
# "one" for f > 4 and "two" for f < 2.5.
ADDED = torch.tensor([[0.0, 0.14, 0.0], [0.25, 0.0, 0.0], [0.0, 0.0, 0.4], [0.0, 0.0, 0.25]])


def weigh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, added: Tensor) -> tuple[dict[float, float], float]:
    """What each factor reached, and the weight afterwards; it was 1."""

    class Scorer:
        def __init__(self, *arguments: object) -> None: ...

        def similarity(self) -> Tensor:
            return APART / 2  # of the embeddings alone

        def match_apart(self, captions: Tensor, pictures: Tensor) -> Tensor:
            return APART[captions, pictures]

        def match(self, captions: Tensor, pictures: Tensor) -> Tensor:
            return (APART + added)[captions, pictures]

    monkeypatch.setattr("pixsearch_trainer.bridge.weighing.PairScorer", Scorer)
    model, processor = load_checkpoint(make_tiny_checkpoint(tmp_path))
    model.similarity_weight.data.fill_(1.0)
    grids = GridStore(np.zeros(24, np.uint8), np.arange(4) * 8, channels=4)
    reached = weigh_similarity(model, processor, PICTURES, grids, candidates=3, sample=99)
    return reached, model.similarity_weight.item()


def test_the_factor_by_which_most_captions_find_their_picture_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reached, weight = weigh(monkeypatch, tmp_path, ADDED)

    assert reached == {1.0: 50, 0.5: 50, 0.75: 50, 1.5: 75, 2.0: 75, 3.0: 25, 5.0: 50, 10.0: 50}
    assert weight == 1.5


def test_a_weight_that_nothing_improves_upon_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reached, weight = weigh(monkeypatch, tmp_path, torch.zeros(4, 3))

    assert len(set(reached.values())) == 1
    assert weight == 1.0
