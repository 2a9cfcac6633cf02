"""The model's input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import picture_tensors, word_tensors
from tests.tiny_checkpoint import make_tiny_checkpoint


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> PixelBertProcessor:
    return PixelBertProcessor.from_pretrained(make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint")))


def test_pictures_of_any_shape_become_normalised_squares(processor: PixelBertProcessor) -> None:
    # EfficientNet-Lite normalises pixels by (value - 127) / 128.
    pixels = picture_tensors(processor, [Image.new("RGB", (300, 20), (255, 127, 0)), Image.new("RGB", (64, 64))])

    assert [picture.shape for picture in pixels] == [(3, 64, 64)] * 2
    assert pixels[0][:, 30, 30].tolist() == pytest.approx([1.0, 0.0, -127 / 128], abs=1e-5)


def test_a_picture_is_squashed_and_not_cropped(processor: PixelBertProcessor) -> None:
    wide = np.zeros((50, 400, 3), np.uint8)
    wide[:, 200:] = 255

    pixels = picture_tensors(processor, [Image.fromarray(wide)])

    assert pixels[0][0, 32, 5].item() < 0 < pixels[0][0, 32, 58].item()


@pytest.mark.parametrize(
    ("photo", "seen"),
    [
        # The paper's limits of 800 and 1333 (section 4.1), by hand, rounded to the nearest multiple of 32.
        ((640, 480), (1056, 800)),  # x 1.667: 1066.7 x 800
        ((480, 640), (800, 1056)),
        ((3000, 1000), (1344, 448)),  # limited by the longer edge, x 0.444: 1333 x 444.3
        ((500, 500), (800, 800)),
        ((10000, 10), (1344, 32)),  # never narrower than a cell
    ],
)
def test_a_picture_that_keeps_its_shape_has_the_edges_of_the_paper(
    processor: PixelBertProcessor, photo: tuple[int, int], seen: tuple[int, int]
) -> None:
    config = dataclasses.replace(processor.config, resize="shorter_edge", input_size=800, longest_edge=1333)

    assert config.picture_size(*photo) == seen
    (pixels,) = picture_tensors(PixelBertProcessor(config, processor.tokenizer), [Image.new("RGB", photo)])
    assert pixels.shape == (3, seen[1], seen[0])


def test_sentences_are_padded_to_the_longest_and_masked(processor: PixelBertProcessor) -> None:
    ids, mask = word_tensors(processor, ["a", "abc"])

    assert ids.tolist()[0][:3] == [101, 104, 102]  # [CLS] a [SEP]: the tokenizer's letters begin at 104
    assert mask.tolist() == [[True, True, True, False, False], [True] * 5]
    assert mask.dtype == torch.bool


def test_a_sentence_that_is_too_long_keeps_its_separator(processor: PixelBertProcessor) -> None:
    ids, _ = word_tensors(processor, ["a " * 1000])

    assert ids.shape == (1, 64)
    assert ids[0, [0, -1]].tolist() == [101, 102]
