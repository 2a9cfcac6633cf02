"""Cross-fitting, blocks and the re-ranker's training, on features made up for it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.grids import pack_grid
from pixsearch.model.pixel_bert import EmbeddingMaps, PixelBertForRetrieval
from pixsearch_trainer.features import GridStore
from pixsearch_trainer.first_stage import CaptionTable, FirstStageOptions, embed_pooled, train_first_stage
from pixsearch_trainer.objectives.sampling import sample_pixels
from pixsearch_trainer.pixel_stream import PixelStreamOptions, train_pixel_stream
from pixsearch_trainer.reranker import Fold, RerankerOptions, cross_fit, draw_blocks, match_all, train_reranker
from tests.tiny_checkpoint import make_tiny_checkpoint

PICTURES, KINDS, CHANNELS = 40, 4, 1280
CPU = torch.device("cpu")
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
    packed = b"".join(pack_grid(grid.numpy()) for grid in values)
    return GridStore(np.frombuffer(packed, np.uint8), np.arange(PICTURES + 1) * (4 + 4 * CHANNELS), CHANNELS)


@pytest.fixture
def captions() -> CaptionTable:
    """Each picture has its kind's sentence."""
    return CaptionTable([[picture % KINDS] for picture in range(PICTURES)], CPU)


@pytest.fixture
def sentences() -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(KINDS, 32, generator=torch.Generator().manual_seed(1)), dim=1)


def untrained_folds(model: PixelBertForRetrieval, grids: GridStore, folds: int) -> list[Fold]:
    """All pictures, judged by maps of random weights."""
    return cross_fit(
        lambda maps, places: None,
        lambda: EmbeddingMaps(model.config, CHANNELS),
        grids.pooled(),
        torch.arange(PICTURES),
        folds,
    )


def words_of(places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.stack([torch.tensor([101, 104 + int(place), 102]) for place in places])
    return ids, torch.ones(ids.shape, dtype=torch.bool)


def test_the_first_stage_learns_which_picture_has_which_sentence(
    model: PixelBertForRetrieval, grids: GridStore, captions: CaptionTable, sentences: torch.Tensor
) -> None:
    pooled, everything = grids.pooled(), torch.arange(PICTURES)
    model.maps.standardise.fit(pooled)

    train_first_stage(
        model.maps,
        lambda places: embed_pooled(model.maps, pooled[places], 0.5, 0.2),
        sentences,
        captions,
        everything,
        torch.ones(PICTURES),
        FirstStageOptions(epochs=30, batch=20),
    )

    with torch.no_grad():
        similarity = model.maps.text(sentences) @ embed_pooled(model.maps, pooled).T  # [kinds, pictures]
    assert similarity.argmax(0).tolist() == [picture % KINDS for picture in range(PICTURES)]


def test_every_picture_is_judged_by_a_first_stage_that_was_trained_without_it(model: PixelBertForRetrieval) -> None:
    pictures, trained_on = torch.arange(10), []

    folds = cross_fit(
        lambda maps, places: trained_on.append(set(places.tolist())),
        lambda: EmbeddingMaps(model.config, CHANNELS),
        torch.rand(10, 2 * CHANNELS),
        pictures,
        folds=3,
    )

    members = [set(fold.members.tolist()) for fold in folds]
    assert sorted(place for fold in members for place in fold) == list(range(10))
    for judged, seen in zip(members, trained_on, strict=True):
        assert not judged & seen
        assert judged | seen == set(range(10))


def test_a_block_holds_different_pictures_of_one_fold_that_are_nearest_to_its_seed(
    model: PixelBertForRetrieval, grids: GridStore, captions: CaptionTable, sentences: torch.Tensor
) -> None:
    folds = untrained_folds(model, grids, 2)
    options = RerankerOptions(block=4, neighbours=6)

    blocks = list(islice(draw_blocks(folds, sentences, captions, torch.ones(PICTURES), PEOPLE, options), 10))

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

    blocks = islice(draw_blocks(folds, sentences, captions, weights, PEOPLE, RerankerOptions(block=3)), 5)

    assert {int(block.pictures[0]) for block in blocks} == {7}


def test_a_block_is_captioned_by_people_throughout_or_by_labels(
    model: PixelBertForRetrieval, grids: GridStore, captions: CaptionTable, sentences: torch.Tensor
) -> None:
    folds = untrained_folds(model, grids, 1)
    from_label = torch.arange(PICTURES) < 15

    blocks = islice(
        draw_blocks(folds, sentences, captions, torch.ones(PICTURES), from_label, RerankerOptions(block=8)), 12
    )

    kinds = [set(from_label[block.pictures].tolist()) for block in blocks]
    assert {True} in kinds
    assert {False} in kinds
    assert {True, False} not in kinds


def test_sampling_takes_so_many_different_pixels_of_each_picture() -> None:
    grid, everything = torch.arange(12.0).view(2, 6, 1), torch.ones(2, 6, dtype=torch.bool)

    sampled, mask = sample_pixels(grid, everything, 4)

    for row, whole in zip(sampled[..., 0].tolist(), grid[..., 0].tolist(), strict=True):
        assert len(set(row)) == 4
        assert set(row) <= set(whole)
    assert mask.all()
    assert sample_pixels(grid, everything, 99)[0].shape == grid.shape


def test_sampling_never_takes_padding_while_there_are_pixels() -> None:
    grid = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [7.0, 8.0, 0.0, 0.0, 0.0, 0.0]])[..., None]

    for _ in range(20):
        sampled, mask = sample_pixels(grid, grid[..., 0] > 0, 4)

        assert mask.tolist() == [[True] * 4, [True, True, False, False]]
        assert set(sampled[1, :2, 0].tolist()) == {7.0, 8.0}


def changed(before: dict[str, torch.Tensor], model: PixelBertForRetrieval) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}


def test_the_pixel_stream_trains_nothing_but_the_pixels_way_in(
    model: PixelBertForRetrieval, grids: GridStore, captions: CaptionTable, sentences: torch.Tensor
) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    train_pixel_stream(
        model, grids, sentences, captions, torch.ones(PICTURES), PixelStreamOptions(steps=3, batch=8, sampled_pixels=2)
    )

    assert changed(before, model) == {
        "model.pixel_projection.weight",
        "model.pixel_projection.bias",
        "model.pixel_norm.weight",
        "model.pixel_norm.bias",
        "model.semantic_embedding",
    }
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_reranker_learns_what_similarity_does_not_say_and_leaves_the_first_stage_alone(
    model: PixelBertForRetrieval, grids: GridStore, captions: CaptionTable, sentences: torch.Tensor
) -> None:
    folds = untrained_folds(model, grids, 1)
    options = RerankerOptions(
        steps=60, block=8, neighbours=40, learning_rate=3e-3, head_learning_rate=3e-3, sampled_pixels=4, softness=0.0
    )
    blocks = draw_blocks(folds, sentences, captions, torch.ones(PICTURES), PEOPLE, options)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    notes: list[str] = []

    train_reranker(
        model,
        words_of,
        grids,
        sentences,
        blocks,
        options,
        every=lambda step: None,
        on_progress=lambda progress: notes.append(progress.note),
    )

    loss, by_similarity = (float(word.rstrip(",")) for word in notes[-1].split() if word[0].isdigit())
    assert loss < by_similarity - 0.05
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


def test_the_same_seed_trains_the_same_reranker(
    grids: GridStore, captions: CaptionTable, sentences: torch.Tensor, tmp_path: Path
) -> None:
    options = RerankerOptions(steps=3, block=4, neighbours=10, sampled_pixels=2)
    states = []
    for seed in (5, 5, 6):
        model, _ = load_checkpoint(make_tiny_checkpoint(tmp_path))
        torch.manual_seed(seed)
        folds = cross_fit(
            lambda maps, places: None,
            lambda model=model: EmbeddingMaps(model.config, CHANNELS),  # type: ignore[misc]
            grids.pooled(),
            torch.arange(PICTURES),
            folds=2,
        )
        blocks = draw_blocks(folds, sentences, captions, torch.ones(PICTURES), PEOPLE, options)
        train_reranker(model, words_of, grids, sentences, blocks, options, every=lambda step: None)
        states.append(model.state_dict())

    once, again, other = states
    assert all(torch.equal(again[name], tensor) for name, tensor in once.items())
    assert any(not torch.equal(other[name], tensor) for name, tensor in once.items())
