"""Soft ITC on the maps, on both streams, on the projection of pixels, and with a teacher."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.batches.sources import PairBatch, PictureInputs
from pixsearch_trainer.objectives.streams import (
    MapsObjective,
    MapsOptions,
    PixelsObjective,
    PixelsOptions,
    StreamsObjective,
    StreamsOptions,
)
from pixsearch_trainer.teacher import TeacherEmbeddings
from tests.trainer.made_up import (
    CHANNELS,
    batch_of,
    both_ways,
    chance,
    grid_of,
    padded,
    targets_of,
    texts_of,
    unit_vectors,
)

Network = PixelBertForRetrieval
SENTENCES = unit_vectors(8, 32)
# Pairs 0 and 1 share a picture, 1 and 2 a caption, which is therefore true of both their pictures.
PICTURES, CAPTIONS = [6, 6, 5, 4], [0, 1, 1, 3]


@pytest.mark.parametrize("teacher_weight", [None, 0.75])
def test_maps_learn_by_soft_targets_and_where_there_is_a_teacher_its_share_by_it(
    network: Network, teacher_weight: float | None
) -> None:
    pooled = torch.rand(4, 2 * CHANNELS, generator=chance())
    batch = replace(batch_of(PICTURES, CAPTIONS), inputs=PictureInputs(pooled=pooled))
    options = MapsOptions(feature_dropout=0, hidden_dropout=0, teacher_weight=teacher_weight or 0)
    seen, read = unit_vectors(8, 7).half(), unit_vectors(8, 7, seed=2).half()
    teacher = TeacherEmbeddings(seen, read, scale=5.0) if teacher_weight else None

    found = MapsObjective(network, texts_of(batch, SENTENCES), options, teacher)(batch)

    images, texts = F.normalize(network.maps.image(pooled), dim=1), network.maps.text(SENTENCES[CAPTIONS])
    scores = 20 * texts @ images.T
    expected = {"itc": both_ways(scores, targets_of(batch, SENTENCES, softness=0.5, temperature=0.1))}
    expected["loss"] = expected["itc"]
    if teacher_weight:
        by_teacher = 5 * read[CAPTIONS].float() @ seen[PICTURES].float().T
        both = F.cross_entropy(scores, by_teacher.softmax(1)) + F.cross_entropy(scores.T, by_teacher.T.softmax(1))
        expected["teacher"] = both.item() / 2
        expected["loss"] = 0.25 * expected["itc"] + 0.75 * expected["teacher"]
    assert {name: loss.item() for name, loss in found.items()} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("at_once", [1, 70, 1 << 24])
def test_the_texts_that_a_teacher_finds_nearest_are_those_of_highest_cosine_in_their_order(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixsearch_trainer.teacher._SCORES_AT_ONCE", at_once)
    # The texts are at 0, 10, .. 90 degrees, the pictures at 2, 33, 61 and 88.
    angles = torch.deg2rad(torch.arange(0.0, 100.0, 10.0)), torch.deg2rad(torch.tensor([2.0, 33.0, 61.0, 88.0]))
    texts, images = (torch.stack([of.cos(), of.sin()], dim=1).half() for of in angles)

    nearest = TeacherEmbeddings(images, texts, 100.0).nearest_texts(k=3)

    assert nearest.tolist() == [[0, 1, 2], [3, 4, 2], [6, 7, 5], [9, 8, 7]]
    assert TeacherEmbeddings(images, texts[:2], 100.0).nearest_texts(k=3).shape == (4, 2)


def losses_of(network: Network, batch: PairBatch, **changes: float) -> dict[str, float]:
    whole = {"feature_dropout": 0, "hidden_dropout": 0, "channel_dropout": 0, "sampled_pixels": 99}
    options = StreamsOptions(**(whole | {"softness": 0.3, "temperature": 0.2} | changes))  # type: ignore[arg-type]
    return {
        name: loss.item()
        for name, loss in StreamsObjective(network, texts_of(batch, SENTENCES), options)(batch).items()
    }


@torch.no_grad()
@pytest.mark.parametrize("pad", [False, True])
def test_each_stream_learns_by_soft_itc_of_pairs_scored_alone_and_a_trained_text_stream_is_held(
    network: Network, pad: bool
) -> None:
    batch, late = batch_of(PICTURES, CAPTIONS), network.late_interaction
    grid, words = grid_of(batch), network.read_each_word(batch.ids, batch.mask)

    losses = losses_of(network, padded(batch) if pad else batch, itc_weight=0.5, late_weight=2.0, drift_weight=3.0)

    targets = targets_of(batch, SENTENCES, softness=0.3, temperature=0.2)
    by_words = torch.stack([late(words[[row]], batch.mask[[row]], network.model.standardise(grid)) for row in range(4)])
    by_embeddings = 20 * network.embed_text(batch.ids, batch.mask) @ network.embed_image(grid).T
    expected = {"late": both_ways(by_words, targets), "itc": both_ways(by_embeddings, targets)}
    expected["drift"] = 1 - F.cosine_similarity(words.mean(1), SENTENCES[CAPTIONS]).mean().item()
    expected["loss"] = 0.5 * expected["itc"] + 2 * expected["late"] + 3 * expected["drift"]
    assert losses == pytest.approx(expected, rel=1e-4)


def test_what_is_not_trained_has_no_loss(network: Network) -> None:
    batch = batch_of(PICTURES, CAPTIONS)

    assert losses_of(network, batch, itc_weight=0.0).keys() == {"loss", "late", "drift"}
    network.model.layers.requires_grad_(False)
    assert losses_of(network, batch, late_weight=0.0).keys() == {"loss", "itc"}


@torch.no_grad()
def test_late_interaction_sees_some_pixels_and_of_each_picture_some_channels(network: Network) -> None:
    seen: list[Tensor] = []
    network.late_interaction.pixel_hidden.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

    losses_of(network, batch_of(PICTURES, CAPTIONS), channel_dropout=0.6, sampled_pixels=3)

    there = seen[0] != 0  # [pictures, pixels, channels]
    assert there.shape[1] == 3
    assert (there == there[:, :1]).all()
    assert not (there[0] == there[1]).all()
    assert 0.35 < there.float().mean() < 0.45


@torch.no_grad()
def test_pixels_read_alone_are_to_come_out_where_their_captions_do(network: Network) -> None:
    batch = batch_of(PICTURES, CAPTIONS)
    options = PixelsOptions(feature_dropout=0.0, sampled_pixels=99, softness=0.3, temperature=0.2)

    found = [
        PixelsObjective(network, texts_of(batch, SENTENCES), options)(one)["loss"].item()
        for one in (batch, padded(batch))
    ]

    pictures = F.normalize(network.read_pixels(grid_of(batch)), dim=1)
    expected = both_ways(20 * SENTENCES[CAPTIONS] @ pictures.T, targets_of(batch, SENTENCES, 0.3, 0.2))
    assert found == pytest.approx([expected, expected], rel=1e-4)
