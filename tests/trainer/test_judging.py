"""Measurements on val, compared with pairs scored one by one and ranks counted with numpy."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import word_tensors
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.judging import ValStreams, judge_match, judge_streams
from tests.trainer.made_up import CHANNELS, chance, store_of

Network = tuple[PixelBertForRetrieval, PixelBertProcessor]
COUNT = 70  # pictures, more than one batch of scores; captions are one fewer, and differ in length
CAPTIONS = [f"{'a' * (1 + number % 3)} {chr(97 + number % 26)} {chr(97 + number // 26)}" for number in range(COUNT)]
CAPTIONS[1] = CAPTIONS[0]
SENTENCES = [CAPTIONS[0], *CAPTIONS[2:]]
MATCHES = np.array([[caption == sentence for caption in CAPTIONS] for sentence in SENTENCES])


@pytest.fixture(autouse=True)
def _whole_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use fp32 on all hardware."""
    monkeypatch.setattr("pixsearch_trainer.judging.autocast", lambda device: nullcontext())


@pytest.fixture
def network(tiny_start: Path) -> Network:
    """A network in which all parts contribute to a pair's score."""
    network, processor = load_checkpoint(tiny_start)
    network.late_interaction.scale.data.fill_(8.0)
    network.late_weight.data.fill_(3.0)
    head = network.itm_head.get_parameter("2.weight")
    head.data.copy_(torch.randn(head.shape, generator=chance()))
    network.itm_head.get_parameter("2.bias").data.fill_(-90.0)  # makes logits far lower than any similarity
    return network.requires_grad_(False), processor


def streams_of(network: Network) -> ValStreams:
    """Return the streams for grids that cycle through 2, 3 and 4 pixels, as for pictures that keep their shapes."""
    store = store_of(torch.rand(2 + number % 3, CHANNELS, generator=chance(number)) for number in range(COUNT))
    pictures = [CaptionedPicture(Path(f"{number}.jpg"), (caption,)) for number, caption in enumerate(CAPTIONS)]
    return ValStreams(*network, pictures, store)


def scored_alone(network: Network, streams: ValStreams) -> tuple[Tensor, Tensor, Tensor]:
    """Return similarities, late scores and logits [sentences, pictures], computed without padding."""
    model, processor = network
    grid, pixel_mask = streams.grids.read(range(COUNT))
    found = torch.zeros(3, len(SENTENCES), COUNT)
    for row, sentence in enumerate(SENTENCES):
        words = word_tensors(processor, [sentence])
        text = model.embed_text(*words)[0]
        for pixels in (2, 3, 4):
            places = pixel_mask.sum(1) == pixels
            unpadded = grid[places, :pixels]
            similarity = model.embed_image(unpadded) @ text
            late = model.late_score(*words, unpadded, similarity)
            found[:, row, places] = torch.stack([similarity, late, model.match(*words, unpadded, late)])
    return found[0], found[1], found[2]


def recalls(scores: Tensor, matches: NDArray[np.bool_]) -> dict[str, float]:
    """Return recalls computed by sorting each row, highest score first."""
    order = np.argsort(-scores.numpy(), axis=1)
    ranks = 1 + np.take_along_axis(matches, order, axis=1).argmax(1)
    return {f"r@{k}": round(100 * float((ranks <= k).mean()), 2) for k in (1, 5, 10)}


def test_judges_score_every_pair_as_it_is_scored_alone_and_re_rank_the_16_most_similar(network: Network) -> None:
    streams = streams_of(network)
    similarity, late, logits = scored_alone(network, streams)
    order = similarity - 1e6
    for row, nearest in enumerate(np.argsort(-similarity.numpy(), axis=1)[:, :16].tolist()):
        order[row, nearest] = logits[row, nearest]

    read: list[int] = []
    network[0].itm_head.register_forward_pre_hook(lambda _, inputs: read.append(len(inputs[0])))

    score, figures = judge_streams(lambda: streams)()
    match_score, match_figures = judge_match(lambda: streams, network[1])()

    assert streams.captions.sentences == SENTENCES
    assert torch.allclose(streams.similarity, similarity, atol=1e-5)
    assert torch.allclose(streams.scores, late, atol=1e-5)
    assert not torch.allclose(late, similarity, atol=1e-2)
    to_image, to_text = recalls(late, MATCHES), recalls(late.T, MATCHES.T)
    first_stage, reranked = recalls(similarity, MATCHES), recalls(order, MATCHES)
    found: dict[str, Any] = {**figures, **match_figures}
    assert (found["pictures"], found["queries"], read) == (COUNT, COUNT - 1, [16] * (COUNT - 1))
    assert found["text_to_image"].items() >= to_image.items()
    assert found["image_to_text"].items() >= to_text.items()
    assert found["first_stage"].items() >= first_stage.items()
    assert found["reranked"].items() >= reranked.items()
    assert score == pytest.approx((to_image["r@1"] + to_text["r@1"]) / 2, abs=0.01)
    assert match_score == pytest.approx(max(first_stage["r@1"], reranked["r@1"]), abs=0.01)


@pytest.mark.parametrize(("sign", "rerank"), [(1.0, True), (-1.0, False)])
def test_the_re_rank_becomes_the_default_order_where_it_is_no_worse(
    network: Network, sign: float, rerank: bool
) -> None:
    """Similarity finds each picture.

    The logit is 20 times the late score, which is the similarity times `sign`.
    """
    model, processor = network
    model.itm_head.get_parameter("2.weight").zero_()
    model.late_weight.zero_()
    model.late_interaction.scale.zero_()
    streams = streams_of(network)
    assert torch.equal(streams.scores, streams.similarity)
    streams.similarity = torch.from_numpy(MATCHES).float()
    streams.scores = sign * streams.similarity

    assert judge_match(lambda: streams, processor)()[0] == 100
    assert model.config.rerank is processor.config.rerank is rerank


def test_similarities_are_whole_where_the_hardware_multiplies_bf16(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If they were bf16 products, many would tie, and the ranks would differ from numpy's."""
    monkeypatch.setattr("pixsearch_trainer.judging.autocast", lambda device: torch.autocast("cpu", torch.bfloat16))
    streams = streams_of(network)

    assert streams.similarity.dtype == streams.scores.dtype == torch.float32
    assert judge_streams(lambda: streams)()[1]["pictures"] == COUNT
