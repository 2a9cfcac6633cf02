"""Pixels that start out as words, against a regression that numpy solves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pixsearch.model.config import PixelBertConfig
from pixsearch.model.pixel_bert import PixelBertModel
from pixsearch_trainer.bridge.pixel_start import start_pixels_as_words

CONFIG = PixelBertConfig(
    backbone="efficientnet_lite0",
    input_size=64,
    vocabulary_size=120,
    width=8,
    layers=1,
    heads=2,
    feed_forward=8,
    embedding_size=8,
)
DOG, CAT, THE = 105, 106, 107
CHANNELS = 1280


@pytest.fixture
def model() -> PixelBertModel:
    torch.manual_seed(0)
    return PixelBertModel(CONFIG).eval()


def counts(*sentences: list[int]) -> Tensor:
    """Sparse [pictures, vocabulary] of a sentence for each picture."""
    dense = torch.zeros(len(sentences), CONFIG.vocabulary_size)
    for picture, words in enumerate(sentences):
        for word in words:
            dense[picture, word] += 1
    return dense.to_sparse()


def rare_words_projection(model: PixelBertModel, means: Tensor, targets: np.ndarray) -> np.ndarray:
    """Ridge regression as its textbook has it: of standardised means to targets less their mean."""
    features = ((means - model.standardise.mean) / model.standardise.deviation).double().numpy()
    gram = features.T @ features
    ridge = 0.05 * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram + ridge, features.T @ (targets - targets.mean(0))).T


@torch.no_grad()
def test_the_mean_pixel_is_projected_to_the_words_that_tell_pictures_apart(model: PixelBertModel) -> None:
    # Of 30 pictures a dog is in two and a cat in one; "the" is in all and says nothing.
    sentences = [[THE, DOG], [THE, DOG, CAT], *([[THE]] * 28)]
    means = torch.rand(30, CHANNELS, generator=torch.Generator().manual_seed(1))
    model.standardise.fit(means)
    table = model.word_embedding
    dog, cat = (
        table.LayerNorm(table.word_embeddings.weight[word] + table.token_type_embeddings.weight[0]).double().numpy()
        for word in (DOG, CAT)
    )
    dog_weight, cat_weight = math.log(30 / 2), math.log(30 / 1)
    targets = np.stack([dog, (dog_weight * dog + cat_weight * cat) / (dog_weight + cat_weight)])

    start_pixels_as_words(model, means, counts(*sentences))

    assert model.pixel_projection.bias.numpy() == pytest.approx(targets.mean(0), abs=1e-4)
    expected = rare_words_projection(model, means[:2], targets)
    assert model.pixel_projection.weight.numpy() == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_a_handful_of_pictures_is_enough(model: PixelBertModel) -> None:
    means = torch.rand(2, CHANNELS, generator=torch.Generator().manual_seed(1))
    model.standardise.fit(means)
    before = model.pixel_projection.weight.clone()

    start_pixels_as_words(model, means, counts([THE, DOG], [THE, CAT]))

    assert model.pixel_projection.weight.isfinite().all()
    assert not torch.equal(model.pixel_projection.weight, before)


@torch.no_grad()
def test_pictures_that_all_have_the_same_words_leave_the_projection_as_it_was(model: PixelBertModel) -> None:
    means = torch.rand(3, CHANNELS, generator=torch.Generator().manual_seed(1))
    before = model.pixel_projection.weight.clone()

    start_pixels_as_words(model, means, counts([DOG], [DOG], [DOG]))

    assert torch.equal(model.pixel_projection.weight, before)
