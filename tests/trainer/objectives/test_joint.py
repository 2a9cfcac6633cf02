"""ITM in the joint stream, on blocks of look-alikes. The other streams are trained too, but held in place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.batches.draws import CaptionedSet, Draws, Pairs
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.objectives.joint import JointObjective, JointOptions, blocks_of_neighbours, nearest_pictures
from tests.trainer.made_up import batch_of, both_ways, grid_of, padded, targets_of, texts_of, unit_vectors

SENTENCES = unit_vectors(8, 32)
WHOLE = JointOptions(block=3, feature_dropout=0, hidden_dropout=0, channel_dropout=0, pixel_dropout=0, joint_pixels=99)
# Two blocks of three pairs; in each, two pairs share a picture or a caption.
BLOCKS = [0, 0, 1, 2, 3, 4], [0, 1, 2, 3, 3, 5]


@torch.no_grad()
def test_in_a_block_each_caption_is_to_find_its_picture_and_each_picture_its_caption(
    network: PixelBertForRetrieval,
) -> None:
    """Only the joint stream's logit counts, without the scores of the other streams."""
    batch, model = batch_of(*BLOCKS), network.model
    words, pixels = model.embed_words(batch.ids), model.embed_pixels(grid_of(batch))
    expected = []
    for rows in (range(3), range(3, 6)):
        pairs = [[network.joint_logit(words[[r]], batch.mask[[r]], pixels[[c]]).item() for c in rows] for r in rows]
        block = replace(batch, pictures=batch.pictures[rows], captions=batch.captions[rows])
        expected.append(both_ways(torch.tensor(pairs), targets_of(block, SENTENCES, 0.3, 0.05)))
    objective = JointObjective(network, texts_of(batch, SENTENCES), WHOLE).eval()

    found = [objective(one)["itm"].item() for one in (batch, padded(batch))]
    for said_apart in (network.similarity_weight, network.late_interaction.scale, network.maps.log_scale):
        said_apart.mul_(2)

    assert [*found, objective(batch)["itm"].item()] == pytest.approx([np.mean(expected)] * 3, rel=1e-4)


def test_every_loss_counts_by_its_weight_and_the_streams_are_held_where_they_were(
    network: PixelBertForRetrieval,
) -> None:
    batch = batch_of(*BLOCKS)
    before = network.read_each_word(batch.ids, batch.mask).detach()
    objective = JointObjective(network, texts_of(batch, SENTENCES), replace(WHOLE, mlm_weight=0.25)).eval()
    network.get_parameter("model.layers.0.output.dense.weight").data.mul_(1.5)

    losses = {name: loss.item() for name, loss in objective(batch).items()}
    without = JointObjective(network, texts_of(batch, SENTENCES), replace(WHOLE, itc_weight=0, late_weight=0))(batch)

    words = network.read_each_word(batch.ids, batch.mask)
    each = 1 - F.cosine_similarity(words, before, dim=2).mean()
    mean = 1 - F.cosine_similarity(words.mean(1), SENTENCES[batch.captions]).mean()
    assert losses["drift"] == pytest.approx((each + mean).item() / 2, rel=1e-4)
    weights = {"itm": 1.0, "mlm": 0.25, "itc": 0.5, "late": 0.5, "drift": 5.0}
    assert losses["loss"] == pytest.approx(sum(weight * losses[name] for name, weight in weights.items()), rel=1e-5)
    assert without.keys() == {"loss", "itm", "mlm", "drift"}


def test_so_many_pixels_are_read_and_such_a_share_of_the_words_is_masked(network: PixelBertForRetrieval) -> None:
    batch, seen = batch_of(list(range(120)), [number % 8 for number in range(120)]), dict[str, Tensor]()
    objective = JointObjective(network, texts_of(batch, SENTENCES), replace(WHOLE, joint_pixels=2, masked_share=0.6))
    network.model.pixel_projection.register_forward_pre_hook(lambda _, inputs: seen.update(pixels=inputs[0]))
    objective.mlm_head.register_forward_pre_hook(lambda _, inputs: seen.update(masked=inputs[0]))
    torch.manual_seed(0)

    objective(batch)

    assert seen["pixels"].shape[1] == 2
    # Two words per caption, each masked with probability 0.6, at least one of them: 1 + 0.36 on average.
    assert len(seen["masked"]) == pytest.approx(120 * 1.36, abs=4 * (120 * 0.36 * 0.64) ** 0.5)


def block_of(step: int, seed: int = 0, batch: int = 2, **process: int) -> Pairs:
    """Return the pairs of a step, in blocks of four from 20 pictures. The neighbours of a picture are the next six.

    Only odd pictures have a weight, and captions with even indices contain "left".
    """
    pictures = [CaptionedPicture(Path(f"{n}.jpg"), (f"{n} left", f"{n} again"), "train", n % 2) for n in range(20)]
    neighbours = torch.stack([(torch.arange(1, 7) + picture) % 20 for picture in range(20)])
    data = CaptionedSet(pictures, seed)
    draw = blocks_of_neighbours(Draws(data.weights, batch, seed), neighbours, block=4)
    return data.pairs_at(draw, mirror=True, **process)(step)


def test_a_block_is_a_picture_drawn_by_weight_and_others_of_its_neighbours_each_once() -> None:
    steps = [block_of(step) for step in range(40)]

    blocks = torch.cat([pairs.pictures for pairs in steps]).view(-1, 4).tolist()
    for first, *others in blocks:
        assert first % 2 == 1
        assert len(set(others)) == 3
        assert set(others) <= {(first + step) % 20 for step in range(1, 7)}
    assert len(set(map(tuple, blocks))) > 60
    assert not any((pairs.mirrored & (pairs.captions % 2 == 0)).any() for pairs in steps)
    assert any(pairs.mirrored.any() for pairs in steps)


def test_blocks_are_the_seeds_and_the_steps_and_processes_share_them() -> None:
    shares = [block_of(1, rank=rank, processes=2).pictures for rank in (0, 1)]

    assert torch.equal(torch.cat(shares), block_of(1).pictures)
    assert len({tuple(block_of(*key).pictures.tolist()) for key in ((0,), (1,), (0, 1))}) == 3


def test_the_nearest_pictures_look_alike_by_their_embeddings_and_their_captions() -> None:
    images = unit_vectors(8, 5, seed=3)

    nearest = nearest_pictures(images, 3 * SENTENCES, caption_likeness=0.7, count=4)

    alike = (images @ images.T + 0.7 * SENTENCES @ SENTENCES.T).numpy()
    np.fill_diagonal(alike, -np.inf)
    assert nearest.tolist() == np.argsort(-alike, axis=1)[:, :4].tolist()
    assert nearest_pictures(images, SENTENCES, caption_likeness=0.7, count=99).shape == (8, 7)
