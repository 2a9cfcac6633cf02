"""True texts compared with near misses, by the maps, late interaction and the joint stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval, pool_grid
from pixsearch_trainer.batches.sources import PairBatch, PictureInputs
from pixsearch_trainer.losses import near_miss_loss
from pixsearch_trainer.objectives.joint import JointObjective, JointOptions
from pixsearch_trainer.objectives.streams import MapsObjective, MapsOptions, StreamsObjective, StreamsOptions, Texts
from tests.trainer.made_up import batch_of, grid_of, texts_of, unit_vectors

Network = PixelBertForRetrieval
VECTORS = unit_vectors(8, 32)
WHOLE = {"feature_dropout": 0, "hidden_dropout": 0, "channel_dropout": 0, "sampled_pixels": 99}
LN_3 = math.log(3)
# Caption 1 is true of the pictures in rows 1 and 2. The last row has no near miss.
BATCH = batch_of([6, 5, 4, 3], [0, 1, 1, 3], near_misses=[7, 6, 5, -1])


def test_a_text_is_a_negative_of_no_picture_of_which_it_is_true() -> None:
    """Text 1, drawn for picture 1, is also true of picture 0. Text 0 is only true of picture 0."""
    texts = Texts(torch.zeros(3, 2), torch.tensor([[0, 1], [1, -1], [2, -1]]), has_near_misses=False)
    pairs = torch.arange(3), torch.arange(3)

    to_pictures, to_captions = texts.targets(*pairs, softness=0.0, temperature=1.0)
    softened = texts.targets(*pairs, softness=0.3, temperature=1.0)

    assert to_pictures.tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]]
    assert to_captions.tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]]
    assert softened[0][1].tolist() == pytest.approx([0.35 + 0.1, 0.35 + 0.1, 0.1])
    assert torch.allclose(torch.stack(softened).sum(2), torch.ones(2, 3))


def test_a_true_text_is_to_lead_by_more_than_it_leads_with_other_pictures() -> None:
    own = torch.tensor([LN_3 + 1, 5.0])
    elsewhere = torch.tensor([[0.0, 2.0, 99.0], [1.0, 1.0, 1.0]])
    counted = torch.tensor([[True, True, False], [False, False, False]])

    # The first lead is larger by ln 3 than the mean elsewhere, so the odds are 3 to 1. The second row has nothing to
    # compare with.
    assert near_miss_loss(own, elsewhere, counted).item() == pytest.approx(math.log(4 / 3))
    assert near_miss_loss(own[1:], elsewhere[1:], counted[1:]).item() == 0
    assert near_miss_loss(own[:0], elsewhere[:0], counted[:0]).item() == 0


def test_wording_alone_does_not_pay(network: Network) -> None:
    """Late interaction's offset depends only on the words, so it learns nothing from near misses."""
    own, elsewhere, shift = torch.randn(5), torch.randn(5, 3), torch.zeros(5, requires_grad=True)
    everywhere = near_miss_loss(own - shift, elsewhere - shift[:, None], torch.ones(5, 3) > 0)
    everywhere.backward()
    assert shift.grad is not None
    assert shift.grad.abs().max() < 1e-6

    objective, name = objective_of("late", network)
    objective(BATCH)[name].backward()
    late = network.late_interaction
    assert late.word_offset.weight.grad is not None
    assert late.word_map.weight.grad is not None
    assert late.word_offset.weight.grad.abs().max() < 1e-6 < 1e-4 < late.word_map.weight.grad.abs().max()


def objective_of(what: str, network: Network, batch: PairBatch = BATCH) -> tuple[MapsObjective, str]:
    """Return an objective without dropout and the name of its loss."""
    texts = texts_of(batch, VECTORS)
    if what == "maps":
        return MapsObjective(network, texts, MapsOptions(feature_dropout=0, hidden_dropout=0)), "near_misses"
    if what == "late":
        return StreamsObjective(network, texts, StreamsOptions(**WHOLE)), "late_near_misses"
    options = JointOptions(**WHOLE, block=len(batch), pixel_dropout=0, joint_pixels=99)
    return JointObjective(network, texts, options).eval(), "itm_near_misses"


def seen_by(what: str, batch: PairBatch) -> PairBatch:
    pooled = PictureInputs(pooled=pool_grid(grid_of(batch), batch.inputs.pixel_mask))
    return replace(batch, inputs=pooled) if what == "maps" else batch


def scores_of(what: str, network: Network) -> Callable[[int, Tensor, Tensor, int], float]:
    """Return a function that computes the logit of one text, given by index and words, with the picture in a row."""

    def score(text: int, ids: Tensor, mask: Tensor, row: int) -> float:
        grid, model = grid_of(BATCH)[[row]], network.model
        if what == "maps":
            return 20 * (network.maps.text(VECTORS[[text]]) @ network.embed_image(grid).T).item()
        if what == "late":
            words = network.read_each_word(ids, mask)
            return float(network.late_interaction(words, mask, model.standardise(grid)).item())
        return network.joint_logit(model.embed_words(ids), mask, model.embed_pixels(grid)).item()

    return score


# For each row with a near miss, the other rows to compare with, except those its caption is true of.
OTHERS = {"maps": [[1, 2, 3], [0, 3], [0, 3]], "late": [[3], [0], []], "joint": [[1, 2], [3], [3, 0]]}


@pytest.mark.parametrize("what", OTHERS)
@torch.no_grad()
def test_a_near_miss_is_told_by_its_picture_less_what_other_pictures_give(network: Network, what: str) -> None:
    score, expected = scores_of(what, network), list[float]()

    def lead(row: int, shown: int) -> float:
        true = score(int(BATCH.captions[row]), BATCH.ids[[row]], BATCH.mask[[row]], shown)
        return true - score(int(BATCH.near_misses[row]), BATCH.near_ids[[row]], BATCH.near_mask[[row]], shown)

    for row, others in enumerate(OTHERS[what]):
        if others:
            margin = lead(row, row) - np.mean([lead(row, other) for other in others])
            expected.append(math.log1p(math.exp(-margin)))
    objective, name = objective_of(what, network)

    assert objective(seen_by(what, BATCH))[name].item() == pytest.approx(np.mean(expected), rel=1e-3)


@pytest.mark.parametrize("what", OTHERS)
def test_a_step_raises_the_lead_and_near_misses_count_by_their_weight(network: Network, what: str) -> None:
    objective, name = objective_of(what, network)
    batch = seen_by(what, BATCH)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)

    torch.manual_seed(0)
    first = objective(batch)
    first[name].backward()
    optimizer.step()

    assert objective(batch)[name] < first[name]
    weights = {"itm": 1, "mlm": 0.3, "drift": 5, "itc": 0.5, "late": 0.5, "near_misses": 0.05, "late_near_misses": 0.05}
    streams = {"drift": 1, "itc": 1, "late": 1, "near_misses": 0.1, "late_near_misses": 0.1}
    chosen = weights | {"itm_near_misses": 0.5} if what == "joint" else streams
    total = sum(chosen[key] * loss.item() for key, loss in first.items() if key != "loss")
    assert first["loss"].item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("what", OTHERS)
def test_batches_without_near_misses_or_without_other_pictures_have_nothing_to_tell(
    network: Network, what: str
) -> None:
    """The loss names are the same for all batches in a data set, because processes could not average them otherwise."""
    alone, none = batch_of([6], [0], near_misses=[7]), replace(BATCH, near_misses=torch.full((4,), -1))
    for batch, known in ((alone, alone), (none, BATCH)):
        objective, name = objective_of(what, network, known)
        losses = objective(seen_by(what, batch))
        assert losses[name].item() == 0
        losses["loss"].backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
    objective, name = objective_of(what, network, none)
    assert name not in objective(seen_by(what, none))
