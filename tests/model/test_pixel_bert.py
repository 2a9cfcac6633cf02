"""Pixel-BERT's streams: shapes, masks, and the scores of an untrained model."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from pixsearch.model.config import PixelBertConfig
from pixsearch.model.pixel_bert import PixelBertForRetrieval, pool_grid, words_found

CONFIG = PixelBertConfig(
    backbone="efficientnet_lite0",
    input_size=64,
    vocabulary_size=120,
    width=32,
    layers=2,
    heads=2,
    feed_forward=64,
    embedding_size=16,
    image_map_hidden=24,
)
CHANNELS = 1280
IDS = torch.tensor([[101, 105, 106, 102, 0, 0], [101, 107, 108, 109, 110, 102]])
MASK = IDS > 0


def model_of(config: PixelBertConfig) -> PixelBertForRetrieval:
    torch.manual_seed(0)
    return PixelBertForRetrieval(config).eval()


@pytest.fixture
def model() -> PixelBertForRetrieval:
    return model_of(CONFIG)


@pytest.fixture
def grid() -> Tensor:
    return torch.rand(2, 4, CHANNELS, generator=torch.Generator().manual_seed(1))


def trained(model: PixelBertForRetrieval) -> PixelBertForRetrieval:
    """Set the head and its weights to random values, so that the joint stream contributes to the logit."""
    for parameter in model.itm_head.parameters():
        torch.nn.init.normal_(parameter)
    model.late_weight.data.fill_(3.0)
    return model


@pytest.mark.parametrize(("pool", "pixels"), [(False, 4), (True, 1)])
def test_a_picture_becomes_a_grid_of_one_pixel_in_32_by_32(pool: bool, pixels: int) -> None:
    config = dataclasses.replace(CONFIG, pool=pool)

    with torch.no_grad():
        grid = model_of(config).encode_grid(torch.rand(3, 3, 64, 64))

    assert grid.shape == (3, pixels, CHANNELS)
    assert config.pixels(640, 480) == pixels


@torch.no_grad()
def test_pooling_keeps_the_largest_of_each_two_by_two_cells() -> None:
    config = dataclasses.replace(CONFIG, input_size=96)  # 3 x 3 cells, so that the last row and column stand alone
    picture = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))

    whole = model_of(config).encode_grid(picture).view(3, 3, CHANNELS)
    pooled = model_of(dataclasses.replace(config, pool=True)).encode_grid(picture)[0]

    halves = (slice(0, 2), slice(2, 3))
    by_hand = [whole[rows, columns].flatten(0, 1).max(0).values for rows in halves for columns in halves]
    assert torch.allclose(pooled, torch.stack(by_hand), atol=1e-6)


@torch.no_grad()
def test_the_order_of_pixels_does_not_matter(model: PixelBertForRetrieval, grid: Tensor) -> None:
    shuffled = grid[:, [2, 0, 3, 1]]
    trained(model)

    in_order, out_of_order = (model.match(IDS, MASK, pixels, torch.zeros(2)) for pixels in (grid, shuffled))
    assert torch.allclose(in_order, out_of_order, atol=1e-4)


@torch.no_grad()
def test_the_order_of_words_matters(model: PixelBertForRetrieval) -> None:
    turned = IDS[1:, [0, 2, 1, 3, 4, 5]]

    assert not torch.allclose(model.embed_text(IDS[1:], MASK[1:]), model.embed_text(turned, MASK[1:]), atol=1e-3)


@torch.no_grad()
def test_embeddings_are_unit_vectors(model: PixelBertForRetrieval, grid: Tensor) -> None:
    for embedding in (model.embed_image(grid), model.embed_text(IDS, MASK)):
        assert embedding.shape == (2, 16)
        assert embedding.norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)


@torch.no_grad()
def test_the_semantic_vector_is_added_to_every_pixel(model: PixelBertForRetrieval, grid: Tensor) -> None:
    model.model.pixel_norm = torch.nn.Identity()  # type: ignore[assignment]
    before = model.model.embed_pixels(grid)
    model.model.semantic_embedding.add_(torch.arange(32.0))

    assert torch.allclose(model.model.embed_pixels(grid) - before, torch.arange(32.0).expand(2, 4, 32), atol=1e-4)


@torch.no_grad()
def test_padding_changes_neither_an_embedding_nor_a_logit(model: PixelBertForRetrieval, grid: Tensor) -> None:
    trained(model)
    similarity = torch.zeros(1)
    short = IDS[:1, :4], MASK[:1, :4]
    padded = IDS[:1], MASK[:1]

    assert torch.allclose(model.embed_text(*short), model.embed_text(*padded), atol=1e-5)
    assert torch.allclose(
        model.match(*short, grid[:1], similarity), model.match(*padded, grid[:1], similarity), atol=1e-4
    )


@torch.no_grad()
def test_a_pair_scores_the_same_alone_and_in_a_batch(model: PixelBertForRetrieval, grid: Tensor) -> None:
    trained(model)
    together = model.match(IDS, MASK, grid, torch.zeros(2))
    alone = [model.match(IDS[i : i + 1], MASK[i : i + 1], grid[i : i + 1], torch.zeros(1)) for i in range(2)]

    assert torch.allclose(together, torch.cat(alone), atol=1e-4)
    assert together[0] != together[1]


@torch.no_grad()
def test_an_untrained_logit_is_the_weighted_similarity(model: PixelBertForRetrieval, grid: Tensor) -> None:
    logits = model.match(IDS, MASK, grid, torch.tensor([0.25, -0.5]))

    assert logits.tolist() == pytest.approx([20 * 0.25, 20 * -0.5])


@torch.no_grad()
def test_late_interaction_counts_as_similarity_does_once_it_is_open(model: PixelBertForRetrieval, grid: Tensor) -> None:
    similarity = torch.tensor([0.25, -0.5])
    assert torch.equal(model.late_score(IDS, MASK, grid, similarity), similarity)
    model.late_interaction.scale.fill_(7.0)
    model.late_interaction.word_offset.bias.fill_(1.5)

    score = model.late_score(IDS, MASK, grid, similarity)

    words = model.model.encode(model.model.embed_words(IDS), MASK)
    found = model.late_interaction(words, MASK, grid)  # without fitted statistics, nothing is standardised
    assert (score - similarity).tolist() == pytest.approx((found / 20).tolist(), abs=1e-4)  # the scale at the start
    assert found.min() > 1  # the offset plus part of 7 times a cosine


@torch.no_grad()
def test_a_logit_depends_on_the_words_and_on_the_pixels(model: PixelBertForRetrieval, grid: Tensor) -> None:
    trained(model)
    logits = model.match(IDS[[1, 1, 0]], MASK[[1, 1, 0]], grid[[0, 1, 0]], torch.zeros(3))

    assert len(set(logits.tolist())) == 3


@torch.no_grad()
def test_logits_keep_full_precision_if_the_transformer_computes_in_bf16(
    model: PixelBertForRetrieval, grid: Tensor
) -> None:
    similarity = torch.tensor([0.3, 0.4])

    with torch.autocast("cpu", torch.bfloat16):
        logits = trained(model).match(IDS, MASK, grid, similarity)

    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())
    model.similarity_weight.data.zero_()
    model.late_weight.data.zero_()
    with torch.autocast("cpu", torch.bfloat16):
        by_head_alone = model.match(IDS, MASK, grid, similarity)
    assert not torch.equal(by_head_alone, by_head_alone.bfloat16().float())


@torch.no_grad()
def test_a_match_is_the_joint_logit_and_the_weighted_late_score(model: PixelBertForRetrieval, grid: Tensor) -> None:
    trained(model)
    words, pixels = model.model.embed_words(IDS), model.model.embed_pixels(grid)
    joint = model.model.read(IDS, MASK, grid)  # [batch, 6 words + 4 pixels, width]

    by_hand = model.itm_head(joint[:, 0])[:, 0] + 3 * words_found(joint[:, :6], MASK, joint[:, 6:])

    logits = model.match(IDS, MASK, grid, torch.tensor([0.25, -0.5]))
    assert model.joint_logit(words, MASK, pixels).tolist() == pytest.approx(by_hand.tolist(), abs=1e-4)
    assert (logits - by_hand).tolist() == pytest.approx([20 * 0.25, 20 * -0.5], abs=1e-4)


@torch.no_grad()
def test_a_single_sentence_or_picture_is_paired_with_all(model: PixelBertForRetrieval, grid: Tensor) -> None:
    trained(model).late_interaction.scale.fill_(7.0)
    similarity = torch.tensor([0.25, -0.5])
    words, pixels = model.model.embed_words(IDS), model.model.embed_pixels(grid)

    for ids, mask, picture in ((IDS[:1], MASK[:1], grid), (IDS, MASK, grid[:1])):
        many = ids.expand(2, -1), mask.expand(2, -1), picture.expand(2, -1, -1)
        late_score = model.late_score(*many, similarity)
        assert torch.allclose(model.late_score(ids, mask, picture, similarity), late_score, atol=1e-5)
        assert torch.allclose(model.match(ids, mask, picture, late_score), model.match(*many, late_score), atol=1e-4)
    for one, other in ((slice(1), slice(2)), (slice(2), slice(1))):
        logits = model.joint_logit(words[one], MASK[one], pixels[other], torch.ones(pixels[other].shape[:2]) > 0)
        assert logits.shape == (2,)


@torch.no_grad()
def test_the_image_stream_is_the_map_of_the_pooled_grid(model: PixelBertForRetrieval, grid: Tensor) -> None:
    pooled = torch.cat([grid.mean(1), grid.max(1).values], dim=1)
    mapped = torch.nn.functional.normalize(model.maps.image(pooled), dim=1)

    assert torch.equal(pool_grid(grid), pooled)
    assert torch.allclose(model.embed_image(grid), mapped, atol=1e-6)


def test_batch_norms_keep_their_statistics_in_training(model: PixelBertForRetrieval) -> None:
    before = {name: buffer.clone() for name, buffer in model.model.backbone.named_buffers()}

    model.train().encode_grid(torch.rand(2, 3, 64, 64))

    assert model.model.training
    assert not model.model.backbone.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.model.backbone.named_buffers())


def test_statistics_count_as_fitted_once_they_are_set(model: PixelBertForRetrieval) -> None:
    standardise = model.model.standardise
    assert not standardise.fitted
    standardise.fit(torch.tensor([[1.0, 2.0], [3.0, 6.0]]).repeat(1, CHANNELS // 2))

    assert standardise.fitted
    assert standardise(torch.full((CHANNELS,), 2.0))[0].item() == 0  # the mean of 1 and 3
    again = PixelBertForRetrieval(CONFIG)
    again.load_state_dict(model.state_dict())
    assert again.model.standardise.fitted


def test_words_found_is_the_mean_over_words_of_the_best_cosine() -> None:
    words = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    pixels = torch.tensor([[[1.0, 0.0], [3.0, 4.0]]])  # cosines: word 1: 1, 0.6; word 2: 0, 0.8

    assert words_found(words, mask, pixels).tolist() == pytest.approx([(1 + 0.8) / 2])


SHAPED = dataclasses.replace(CONFIG, resize="shorter_edge")


def pictures_of_many_shapes() -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(3, *size, generator=generator) for size in ((64, 96), (64, 64), (160, 64), (64, 96))]


@torch.no_grad()
@pytest.mark.parametrize("pool", [False, True])
def test_a_picture_gives_the_same_alone_and_in_a_batch_of_other_shapes(pool: bool) -> None:
    model = trained(model_of(dataclasses.replace(SHAPED, pool=pool)))
    pictures = pictures_of_many_shapes()
    ids, mask = IDS[[0, 1, 0, 1]], MASK[[0, 1, 0, 1]]

    grid, pixel_mask = model.model.encode_grids(pictures)
    images = model.embed_image(grid, pixel_mask)
    logits = model.match(ids, mask, grid, torch.zeros(4), pixel_mask)

    cells = [2, 1, 3, 2] if pool else [6, 4, 10, 6]
    assert pixel_mask.sum(1).tolist() == cells
    assert not grid[~pixel_mask].any()
    for index, picture in enumerate(pictures):
        alone = model.encode_grid(picture[None])
        assert torch.allclose(grid[index, : cells[index]], alone[0], atol=1e-5)
        assert torch.allclose(images[index], model.embed_image(alone)[0], atol=1e-5)
        logit = model.match(ids[[index]], mask[[index]], alone, torch.zeros(1))
        assert logits[index].item() == pytest.approx(logit.item(), abs=1e-3)


@torch.no_grad()
def test_masked_pixels_are_never_read() -> None:
    model = trained(model_of(SHAPED))
    grid, pixel_mask = model.model.encode_grids(pictures_of_many_shapes()[:2])
    spoilt = grid.masked_fill(~pixel_mask[..., None], 1000.0)

    assert torch.equal(model.embed_image(spoilt, pixel_mask), model.embed_image(grid, pixel_mask))
    ours, theirs = (model.match(IDS, MASK, pixels, torch.zeros(2), pixel_mask) for pixels in (spoilt, grid))
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_the_mean_and_the_maximum_leave_out_padding() -> None:
    grid = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [0.0, 0.0]]])
    mask = torch.tensor([[True, True, False]])

    assert pool_grid(grid, mask).tolist() == [[2.0, -3.0, 3.0, -2.0]]
