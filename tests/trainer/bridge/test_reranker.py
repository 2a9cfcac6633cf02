"""Cross-fitting, blocks and the re-ranker's training, on features made up for it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.grids import pack_grid
from pixsearch.model.pixel_bert import EmbeddingMaps, PixelBertForRetrieval
from pixsearch_trainer.bridge.first_stage import CaptionTable, FirstStageOptions, embed_pooled, first_stage
from pixsearch_trainer.bridge.pixel_stream import PixelStreamOptions, pixel_stream
from pixsearch_trainer.bridge.reranker import (
    Block,
    Fold,
    RerankerOptions,
    draw_blocks,
    fold_of,
    fold_of_each,
    match_all,
    reranker,
)
from pixsearch_trainer.features import GridStore
from tests.stages import finish
from tests.tiny_checkpoint import make_tiny_checkpoint

PICTURES, KINDS, CHANNELS = 40, 4, 1280
CPU = torch.device("cpu")
FILES = [f"{picture}.jpg" for picture in range(PICTURES)]
PEOPLE = torch.zeros(PICTURES, dtype=torch.bool)  # all captioned by people


@pytest.fixture
def model(tmp_path: Path) -> PixelBertForRetrieval:
    torch.manual_seed(0)
    model, _ = load_checkpoint(make_tiny_checkpoint(tmp_path))
    return model


@pytest.fixture
def grids() -> GridStore:
    """Picture i is of kind i modulo 4, and each kind lights channels of its own."""
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(PICTURES, 4, CHANNELS, generator=generator)
    for picture in range(PICTURES):
        values[picture, :, (picture % KINDS) * 300 : (picture % KINDS) * 300 + 300] += 2
    packed = [pack_grid(grid.numpy()) for grid in values]
    offsets = np.cumsum([0, *map(len, packed)])
    return GridStore(np.frombuffer(b"".join(packed), np.uint8), offsets, CHANNELS)


@pytest.fixture
def captions() -> CaptionTable:
    """Each picture has its kind's sentence."""
    return CaptionTable([[picture % KINDS] for picture in range(PICTURES)], CPU)


@pytest.fixture
def sentences() -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(KINDS, 32, generator=torch.Generator().manual_seed(1)), dim=1)


def untrained_folds(model: PixelBertForRetrieval, grids: GridStore, folds: int) -> list[Fold]:
    """All pictures, judged by maps of random weights."""
    fold_of_pictures = fold_of_each(PICTURES, folds, seed=0)
    return [
        fold_of(number, fold_of_pictures, EmbeddingMaps(model.config, CHANNELS), grids.pooled())
        for number in range(folds)
    ]


def draw(
    folds: list[Fold],
    sentences: torch.Tensor,
    captions: CaptionTable,
    options: RerankerOptions,
    weights: torch.Tensor | None = None,
    from_label: torch.Tensor = PEOPLE,
    first: int = 0,
) -> Iterator[Block]:
    weights = torch.ones(PICTURES) if weights is None else weights
    return draw_blocks(folds, sentences, captions, weights, from_label, options, FILES, first)


def words_of(places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.stack([torch.tensor([101, 104 + int(place), 102]) for place in places])
    return ids, torch.ones(ids.shape, dtype=torch.bool)


def test_the_first_stage_learns_which_picture_has_which_sentence(
    model: PixelBertForRetrieval, grids: GridStore, captions: CaptionTable, sentences: torch.Tensor
) -> None:
    pooled = grids.pooled()
    model.maps.standardise.fit(pooled)
    options = FirstStageOptions(epochs=30, batch=20, feature_dropout=0.5)
    one_sided = torch.zeros(len(sentences), dtype=torch.bool)
    data = pooled[:, None], sentences, captions, one_sided, torch.ones(PICTURES)

    finish(first_stage(0, model.maps, *data, options, 0, FILES))

    with torch.no_grad():
        similarity = model.maps.text(sentences) @ embed_pooled(model.maps, pooled).T  # [kinds, pictures]
    assert similarity.argmax(0).tolist() == [picture % KINDS for picture in range(PICTURES)]


def test_every_picture_belongs_to_one_fold_and_the_folds_are_of_one_size() -> None:
    folds = fold_of_each(10, 3, seed=0)

    assert sorted(torch.bincount(folds).tolist()) == [3, 3, 4]
    assert torch.equal(folds, fold_of_each(10, 3, seed=0))
    assert not torch.equal(folds, fold_of_each(10, 3, seed=1))


def test_a_block_holds_different_pictures_of_one_fold_that_are_nearest_to_its_seed(
    model: PixelBertForRetrieval, grids: GridStore, captions: CaptionTable, sentences: torch.Tensor
) -> None:
    folds = untrained_folds(model, grids, 2)
    options = RerankerOptions(block=4, neighbours=6)

    blocks = list(islice(draw(folds, sentences, captions, options), 10))

    for number, block in enumerate(blocks):
        fold = folds[number % 2]
        assert len(set(block.pictures.tolist())) == len(block.pictures) == 4
        assert set(block.pictures.tolist()) <= set(fold.members.tolist())
        assert block.captions.tolist() == [picture % KINDS for picture in block.pictures.tolist()]
        with torch.no_grad():
            scores = (fold.maps.text(sentences[block.captions[:1]]) @ fold.images.T)[0].tolist()
        nearest = sorted(range(len(scores)), key=lambda place: -scores[place])[:6]
        assert set(block.pictures[1:].tolist()) <= {int(fold.members[place]) for place in nearest}
        with torch.no_grad():
            by_hand = (
                fold.maps.text(sentences[block.captions]) @ embed_pooled(fold.maps, grids.pooled()[block.pictures]).T
            )
        assert torch.allclose(block.similarity, by_hand, atol=1e-5)


def test_only_seeds_with_weight_are_drawn(
    model: PixelBertForRetrieval, grids: GridStore, captions: CaptionTable, sentences: torch.Tensor
) -> None:
    folds = untrained_folds(model, grids, 1)
    weights = torch.zeros(PICTURES)
    weights[7] = 1.0

    blocks = islice(draw(folds, sentences, captions, RerankerOptions(block=3), weights), 5)

    assert {int(block.pictures[0]) for block in blocks} == {7}


def test_a_block_is_captioned_by_people_throughout_or_by_labels(
    model: PixelBertForRetrieval, grids: GridStore, captions: CaptionTable, sentences: torch.Tensor
) -> None:
    folds = untrained_folds(model, grids, 1)
    from_label = torch.arange(PICTURES) < 15

    blocks = islice(draw(folds, sentences, captions, RerankerOptions(block=8), from_label=from_label), 12)

    kinds = [set(from_label[block.pictures].tolist()) for block in blocks]
    assert {True} in kinds
    assert {False} in kinds
    assert {True, False} not in kinds


def test_blocks_go_on_with_the_fold_whose_turn_it_is(
    model: PixelBertForRetrieval, grids: GridStore, captions: CaptionTable, sentences: torch.Tensor
) -> None:
    folds = untrained_folds(model, grids, 3)

    block = next(draw(folds, sentences, captions, RerankerOptions(block=4), first=4))

    assert set(block.pictures.tolist()) <= set(folds[1].members.tolist())
    assert block.names == [f"{place}.jpg" for place in block.pictures.tolist()]


def changed(before: dict[str, torch.Tensor], model: PixelBertForRetrieval) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}


def test_the_pixel_stream_trains_nothing_but_the_pixels_way_in(
    model: PixelBertForRetrieval, grids: GridStore, captions: CaptionTable, sentences: torch.Tensor
) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    options = PixelStreamOptions(steps=3, batch=8, sampled_pixels=2)
    finish(pixel_stream(0, model, grids, sentences, captions, torch.ones(PICTURES), options, FILES))

    assert changed(before, model) == {
        "model.pixel_projection.weight",
        "model.pixel_projection.bias",
        "model.pixel_norm.weight",
        "model.pixel_norm.bias",
        "model.semantic_embedding",
    }


def test_the_reranker_learns_what_similarity_does_not_say_and_leaves_the_first_stage_alone(
    model: PixelBertForRetrieval, grids: GridStore, captions: CaptionTable, sentences: torch.Tensor
) -> None:
    folds = untrained_folds(model, grids, 1)
    options = RerankerOptions(
        steps=60, block=8, neighbours=40, learning_rate=3e-3, head_learning_rate=3e-3, sampled_pixels=4, softness=0.0
    )
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    log = finish(
        reranker(
            0,
            model,
            words_of,
            grids,
            sentences,
            lambda first: draw(folds, sentences, captions, options, first=first),
            options,
        ),
        clip=1.0,
    )

    assert sum(line["ranking"] - line["by_similarity"] for line in log[-10:]) / 10 < -0.05
    touched = changed(before, model)
    assert {"similarity_weight", "late_weight", "itm_head.2.weight", "model.pixel_projection.weight"} <= touched
    assert not any(name.startswith(("model.backbone", "maps.", "model.word_embedding")) for name in touched)


def test_every_caption_is_matched_with_every_picture(model: PixelBertForRetrieval, grids: GridStore) -> None:
    torch.nn.init.normal_(model.itm_head.get_parameter("2.weight"))
    ids, mask = words_of(torch.tensor([0, 1, 2]))
    similarity = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    model.eval()

    pair, pair_mask = grids.read([5, 6])
    with torch.no_grad():
        logits = match_all(model, ids, mask, model.model.read_pixels_alone(pair), pair_mask, similarity)
        by_hand = [
            [
                model.match(ids[[row]], mask[[row]], pair[[column]], similarity[row, [column]]).item()
                for column in range(2)
            ]
            for row in range(3)
        ]
    assert logits.tolist() == [pytest.approx(row, abs=1e-4) for row in by_hand]
