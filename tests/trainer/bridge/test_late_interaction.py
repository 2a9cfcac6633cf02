"""Words learn to find the pixels that show them, in pictures of coloured cells, and nothing else is trained."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.grids import pack_grid
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import word_tensors
from pixsearch.progress import silent
from pixsearch_trainer.batches.draws import Draws
from pixsearch_trainer.bridge.first_stage import CaptionTable, draw_views
from pixsearch_trainer.bridge.late_interaction import LateInteractionOptions, late_interaction
from pixsearch_trainer.features import GridStore, encode_sentences, read_views
from tests.stages import finish
from tests.tiny_checkpoint import make_tiny_checkpoint

CPU = torch.device("cpu")
CHANNELS, PICTURES, CELLS = 1280, 36, 4
WORDS = ("a", "b", "c", "d", "e", "f")
# Two different words a picture, each pair twice; cell 1 shows the first word, cell 3 the second.
PAIRS = [(first, second) for first in range(6) for second in range(6) if first != second][:18] * 2
CAPTIONS = [f"{WORDS[first]} {WORDS[second]}" for first, second in PAIRS[:18]]
OPTIONS = LateInteractionOptions(steps=120, batch=18, channel_dropout=0.2, sampled_pixels=CELLS, softness=0.0)


@pytest.fixture
def start(tmp_path: Path) -> tuple[PixelBertForRetrieval, PixelBertProcessor]:
    return load_checkpoint(make_tiny_checkpoint(tmp_path))


@pytest.fixture
def grids() -> Tensor:
    """Each word lights channels of its own."""
    values = torch.rand(PICTURES, CELLS, CHANNELS, generator=torch.Generator().manual_seed(0))
    for picture, (first, second) in enumerate(PAIRS):
        values[picture, 1, 200 * first : 200 * first + 200] += 2
        values[picture, 3, 200 * second : 200 * second + 200] += 2
    return values


def store_of(values: Tensor) -> GridStore:
    packed = [pack_grid(grid.numpy()) for grid in values]
    offsets = np.cumsum([0, *map(len, packed)])
    return GridStore(np.frombuffer(b"".join(packed), np.uint8), offsets, CHANNELS)


def train(start: tuple[PixelBertForRetrieval, PixelBertProcessor], grids: Tensor) -> list[float]:
    model, processor = start
    model.model.standardise.fit(grids.flatten(0, 1))
    store = store_of(grids)
    stage = late_interaction(
        number=0,
        network=model,
        processor=processor,
        stores=[store, store_of(grids.flip(1))],
        captions=CAPTIONS,
        sentences=encode_sentences(model, processor, CAPTIONS, silent),
        table=CaptionTable([[picture % 18] for picture in range(PICTURES)], CPU),
        one_sided=torch.zeros(len(CAPTIONS), dtype=torch.bool),
        weights=torch.ones(PICTURES),
        options=OPTIONS,
        seed=0,
        files=[f"{picture}.jpg" for picture in range(PICTURES)],
    )
    log = finish(stage)
    return [line["loss"] for line in log]


def test_words_find_the_cells_that_show_them(
    start: tuple[PixelBertForRetrieval, PixelBertProcessor], grids: Tensor
) -> None:
    model, processor = start
    train(start, grids)

    ids, mask = word_tensors(processor, CAPTIONS)
    with torch.no_grad():
        words = model.late_interaction.map_words(model.read_each_word(ids, mask))
        pixels = model.late_interaction.map_pixels(model.model.standardise(grids[:18]))
        scores = model.late_interaction.every_pair(
            model.read_each_word(ids, mask), mask, model.model.standardise(grids[:18]), torch.ones(18, 4) > 0
        )
    found = (words[:, 1:3] @ pixels.transpose(1, 2)).argmax(2)  # behind [CLS]
    assert (
        found == torch.tensor([1, 3])
    ).float().mean() > 0.5  # by chance a quarter; this Transformer mixes words at random
    assert (scores.argmax(1) == torch.arange(18)).float().mean() > 0.8


def test_it_opens_what_was_closed_and_trains_nothing_else(
    start: tuple[PixelBertForRetrieval, PixelBertProcessor], grids: Tensor
) -> None:
    model, _ = start
    model.model.standardise.fit(grids.flatten(0, 1))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert model.late_interaction.closed

    losses = train(start, grids)

    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    touched = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert touched == {f"late_interaction.{name}" for name, _ in model.late_interaction.named_parameters()}


def test_a_sentence_that_says_left_goes_with_the_picture_as_it_is() -> None:
    draws, table = Draws(torch.ones(4), 4, seed=0), CaptionTable([[0], [0], [1], [1]], CPU)
    batches = draw_views(draws, table, torch.tensor([True, False]), 2, ["0", "1", "2", "3"], first=0)

    seen = set()
    for batch in islice(batches, 20):
        seen |= set(zip(batch.captions.tolist(), batch.views.tolist(), strict=True))

    assert seen == {(0, 0), (1, 0), (1, 1)}


def test_a_view_is_read_from_its_own_store(grids: Tensor) -> None:
    stores = [store_of(grids), store_of(grids.flip(1))]

    read, mask = read_views(stores, [5, 5, 2], [0, 1, 1])

    assert mask.all()
    expected = torch.stack([grids[5], grids[5].flip(0), grids[2].flip(0)])
    assert (read - expected).abs().max() < 3 / 500  # a byte a value
