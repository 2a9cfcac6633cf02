"""The first stage's training, and the gate that is chosen after it."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import Tensor

from pixsearch.model.config import PixelBertConfig
from pixsearch.model.pixel_bert import EmbeddingMaps, PixelBertForRetrieval, pool_grid
from pixsearch_trainer.bridge.first_stage import CaptionTable, FirstStageOptions, embed_pooled, first_stage
from pixsearch_trainer.bridge.gate import GATES, open_gate
from pixsearch_trainer.optimisation.loop import Stage
from tests.stages import finish

CPU = torch.device("cpu")
CONFIG = PixelBertConfig(
    backbone="efficientnet_lite0",
    input_size=64,
    vocabulary_size=120,
    width=16,
    layers=1,
    heads=2,
    feed_forward=16,
    embedding_size=16,
    image_map_hidden=32,
)
KINDS, PICTURES = 4, 24
OPTIONS = FirstStageOptions(epochs=15, batch=8, feature_dropout=0.2)


@pytest.fixture
def pooled() -> Tensor:
    """Pictures of 8 channels; picture i is of kind i modulo 4 and lights the channel of its kind."""
    features = torch.rand(PICTURES, 2 * 8, generator=torch.Generator().manual_seed(0))
    features[range(PICTURES), torch.arange(PICTURES) % KINDS] += 3
    return features


@pytest.fixture
def sentences() -> Tensor:
    """A direction for each kind."""
    return torch.eye(KINDS, 16)


def fitted_maps(pooled: Tensor) -> EmbeddingMaps:
    torch.manual_seed(0)
    maps = EmbeddingMaps(CONFIG, channels=8)
    maps.standardise.fit(pooled)
    return maps


def stage_of(
    maps: EmbeddingMaps,
    pooled: Tensor,
    sentences: Tensor,
    options: FirstStageOptions = OPTIONS,
    weights: Tensor | None = None,
    seed: int = 0,
    mirrored: Tensor | None = None,
    one_sided: Tensor | None = None,
) -> Stage:
    return first_stage(
        number=0,
        maps=maps,
        views=torch.stack([pooled] if mirrored is None else [pooled, mirrored], dim=1),
        sentences=sentences,
        captions=CaptionTable([[picture % KINDS] for picture in range(PICTURES)], CPU),
        one_sided=torch.zeros(KINDS, dtype=torch.bool) if one_sided is None else one_sided,
        weights=torch.ones(PICTURES) if weights is None else weights,
        options=options,
        seed=seed,
        files=[f"{picture}.jpg" for picture in range(PICTURES)],
    )


def train(
    pooled: Tensor, sentences: Tensor, options: FirstStageOptions = OPTIONS, seed: int = 0
) -> tuple[EmbeddingMaps, list[float]]:
    maps = fitted_maps(pooled)
    log = finish(stage_of(maps, pooled, sentences, options, seed=seed), seed)
    return maps, [line["loss"] for line in log]


def drawn(pooled: Tensor, sentences: Tensor, options: FirstStageOptions, weights: Tensor) -> list[int]:
    """The places of all pictures that a run draws."""
    stage = stage_of(fitted_maps(pooled), pooled, sentences, options, weights)
    return [place for batch in islice(stage.batches(0), stage.steps) for place in batch.pictures.tolist()]  # type: ignore[attr-defined]


def test_the_loss_goes_down(pooled: Tensor, sentences: Tensor) -> None:
    _, losses = train(pooled, sentences)

    assert len(losses) == 15 * 3
    assert losses[-1] < losses[0] - 0.3


def test_the_same_seed_trains_the_same_maps_and_another_seed_others(pooled: Tensor, sentences: Tensor) -> None:
    once, again, other = (train(pooled, sentences, seed=seed)[0].state_dict() for seed in (1, 1, 2))

    assert all(torch.equal(again[name], tensor) for name, tensor in once.items())
    assert not torch.equal(once["image_map.weight"], other["image_map.weight"])


def test_the_statistics_of_the_features_are_not_trained(pooled: Tensor, sentences: Tensor) -> None:
    trained, fresh = train(pooled, sentences)[0].state_dict(), fitted_maps(pooled).state_dict()

    unchanged = {name for name, tensor in fresh.items() if torch.equal(tensor, trained[name])}
    assert unchanged == {"standardise.mean", "standardise.deviation"}


def test_an_epoch_draws_no_picture_twice_and_none_that_was_not_given(pooled: Tensor, sentences: Tensor) -> None:
    every_other = (torch.arange(PICTURES) % 2 == 0).float()

    places = drawn(pooled, sentences, replace(OPTIONS, epochs=1), every_other)

    assert len(set(places)) == len(places) == 8  # of 12 pictures one whole batch of 8
    assert all(place % 2 == 0 for place in places)


def test_pictures_of_little_weight_are_drawn_less_often_and_those_of_none_never(
    pooled: Tensor, sentences: Tensor
) -> None:
    weights = torch.ones(PICTURES)
    weights[8:16], weights[16:] = 0.2, 0.0

    places = drawn(pooled, sentences, replace(OPTIONS, epochs=100, batch=4), weights)

    often, seldom, never = (sum(low <= place < low + 8 for place in places) for low in (0, 8, 16))
    assert never == 0
    assert 0 < seldom < 0.5 * often


def test_each_picture_draws_only_captions_of_its_own_and_all_of_them() -> None:
    torch.manual_seed(0)
    captions = CaptionTable([[0, 1, 2], [3], [4, 0]], CPU)

    drawn = [tuple(captions.draw(torch.tensor([0, 1, 2])).tolist()) for _ in range(100)]

    assert [set(places) for places in zip(*drawn, strict=True)] == [{0, 1, 2}, {3}, {4, 0}]


def test_a_picture_is_also_seen_mirrored_but_not_where_its_caption_says_left_or_right(
    pooled: Tensor, sentences: Tensor
) -> None:
    one_sided = torch.tensor([True, False, False, False])
    stage = stage_of(fitted_maps(pooled), pooled, sentences, mirrored=pooled.flip(1), one_sided=one_sided)

    views: dict[bool, set[int]] = {True: set(), False: set()}
    for batch in islice(stage.batches(0), stage.steps):
        for caption, view in zip(batch.captions.tolist(), batch.views.tolist(), strict=True):  # type: ignore[attr-defined]
            views[caption == 0].add(view)

    assert views == {True: {0}, False: {0, 1}}


def test_mirrored_pictures_are_found_only_where_they_were_seen(pooled: Tensor, sentences: Tensor) -> None:
    def found(seen: Tensor | None) -> int:
        maps = fitted_maps(pooled)
        finish(stage_of(maps, pooled, sentences, replace(OPTIONS, epochs=40), mirrored=seen))
        with torch.no_grad():
            kinds = (maps.text(sentences) @ embed_pooled(maps, pooled.flip(1)).T).argmax(0)
        return int((kinds == torch.arange(PICTURES) % KINDS).sum())

    assert found(pooled.flip(1)) >= 0.9 * PICTURES
    assert found(None) <= 0.6 * PICTURES


# The gate.


@pytest.fixture
def model() -> PixelBertForRetrieval:
    torch.manual_seed(0)
    return PixelBertForRetrieval(CONFIG).eval()


def recall_at_1(similarity: Tensor) -> float:
    """Both directions of pairs on the diagonal, percent; equal scores count as misses."""
    hits = [
        sum(all(row[right] > score for place, score in enumerate(row) if place != right) for right, row in enumerate(m))
        for m in (similarity.tolist(), similarity.T.tolist())
    ]
    return 100 * sum(hits) / (2 * len(similarity))


@torch.no_grad()
def test_the_gate_opens_where_reading_pixels_finds_what_the_map_does_not(model: PixelBertForRetrieval) -> None:
    grids = torch.rand(6, 4, 1280, generator=torch.Generator().manual_seed(2))
    read, mapped = model.read_pixels(grids), model.maps.image(pool_grid(grids))
    texts = model.maps.text(read)  # sentences that lie exactly where the pixels come out
    closed = recall_at_1(texts @ model.embed_image(grids).T)

    reached = open_gate(model, texts, mapped, read, torch.eye(6, dtype=torch.bool))

    assert tuple(reached) == GATES
    assert reached[0.0] == pytest.approx(closed)
    assert model.image_gate.item() > 0
    assert max(reached.values()) > closed
    assert recall_at_1(texts @ model.embed_image(grids).T) == pytest.approx(max(reached.values()))


@torch.no_grad()
def test_the_gate_stays_closed_where_the_map_is_right_alone(model: PixelBertForRetrieval) -> None:
    grids = torch.rand(6, 4, 1280, generator=torch.Generator().manual_seed(2))
    before = model.embed_image(grids)
    model.image_gate.fill_(0.3)

    reached = open_gate(
        model, before, model.maps.image(pool_grid(grids)), model.read_pixels(grids), torch.eye(6, dtype=torch.bool)
    )

    assert reached[0.0] == pytest.approx(100)
    assert model.image_gate.item() == 0
    assert torch.equal(model.embed_image(grids), before)
