"""What is computed once of a data set and read many times."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixsearch.errors import DatasetError
from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import picture_tensors, word_tensors
from pixsearch.progress import Progress, silent
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.features import GridsTooLarge, GridStore, encode_grids, encode_sentences, read_grids
from tests.tiny_checkpoint import make_tiny_checkpoint

Network = tuple[PixelBertForRetrieval, PixelBertProcessor]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return load_checkpoint(make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint")))


@pytest.fixture
def pictures(tmp_path: Path) -> list[CaptionedPicture]:
    """More than a batch of them, all different."""
    noise = np.random.default_rng(0)
    made = []
    for number in range(35):
        file = tmp_path / f"{number}.png"
        Image.fromarray(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file)
        made.append(CaptionedPicture(file, ("noise",)))
    return made


def encode(network: Network, pictures: list[CaptionedPicture], cache: Path) -> tuple[GridStore, list[Progress]]:
    told: list[Progress] = []
    return encode_grids(*network, pictures, cache, told.append), told


@torch.no_grad()
def test_each_row_is_the_cnns_grid_of_its_picture_to_half_a_byte(
    network: Network, pictures: list[CaptionedPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixsearch_trainer.features.autocast", lambda device: nullcontext())
    model, processor = network
    places = [34, 0, 17]

    grids, told = encode(network, pictures, tmp_path / "cache")

    expected, _ = model.model.encode_grids(
        picture_tensors(processor, [Image.open(str(pictures[place].file)) for place in places])
    )
    off = (grids.read(places)[0] - expected).abs().amax((1, 2)) / expected.amax((1, 2))
    assert (off < 0.51 / 255).all()
    assert len(grids) == 35
    assert [progress.done for progress in told] == [32, 35]


@torch.no_grad()
def test_mirrored_grids_are_those_of_the_mirrored_pictures(
    network: Network, pictures: list[CaptionedPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixsearch_trainer.features.autocast", lambda device: nullcontext())
    encode(network, pictures, tmp_path / "cache")
    other_way_round = []
    for number, picture in enumerate(pictures):
        file = tmp_path / f"mirrored-{number}.png"
        Image.open(str(picture.file)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(file)
        other_way_round.append(CaptionedPicture(file, picture.captions))

    mirrored = encode_grids(*network, pictures, tmp_path / "cache", silent, mirror=True)

    expected, _ = encode(network, other_way_round, tmp_path / "cache")
    assert np.array_equal(mirrored.packed, expected.packed)


def test_pooled_is_the_mean_and_the_largest_of_each_channel(
    network: Network, pictures: list[CaptionedPicture], tmp_path: Path
) -> None:
    grids, _ = encode(network, pictures, tmp_path / "cache")
    values = grids.read(range(35))[0].numpy()

    assert grids.pooled().numpy() == pytest.approx(np.concatenate([values.mean(1), values.max(1)], axis=1), abs=1e-5)


def test_what_was_encoded_is_read_and_not_encoded_again(
    network: Network, pictures: list[CaptionedPicture], tmp_path: Path
) -> None:
    first, _ = encode(network, pictures, tmp_path / "cache")

    again, told = encode(network, pictures, tmp_path / "cache")

    assert told == []
    assert np.array_equal(again.packed, first.packed)


@pytest.mark.parametrize("what", ["a picture's bytes", "the order", "the CNN"])
def test_what_changed_is_encoded_again(pictures: list[CaptionedPicture], tmp_path: Path, what: str) -> None:
    network = load_checkpoint(make_tiny_checkpoint(tmp_path / "model"))
    before, _ = encode(network, pictures, tmp_path / "cache")

    if what == "a picture's bytes":
        Image.new("RGB", (64, 64), "red").save(str(pictures[0].file))
        os.utime(str(pictures[0].file), ns=(1, 1))
    elif what == "the order":
        pictures.reverse()
    else:
        with torch.no_grad():
            network[0].model.backbone.get_parameter("head.0.weight").mul_(1.5)
    after, told = encode(network, pictures, tmp_path / "cache")

    assert told
    assert not torch.equal(after.read([0])[0], before.read([0])[0])


def test_a_run_that_was_cut_while_encoding_leaves_nothing_that_is_taken_for_whole(
    network: Network, pictures: list[CaptionedPicture], tmp_path: Path
) -> None:
    def cut(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_grids(*network, pictures, tmp_path / "cache", cut)
    grids, told = encode(network, pictures, tmp_path / "cache")

    assert told
    assert grids.read([34])[0].max() > 0


def test_no_pictures_are_no_grids(network: Network, tmp_path: Path) -> None:
    grids, _ = encode(network, [], tmp_path / "cache")

    assert len(grids) == 0


def test_a_picture_that_cannot_be_read_is_named(
    network: Network, pictures: list[CaptionedPicture], tmp_path: Path
) -> None:
    pictures[33].file.write_text("no picture")

    with pytest.raises(DatasetError, match=r"33\.png"):
        encode_grids(*network, pictures, tmp_path / "cache", silent)


@torch.no_grad()
def test_sentences_of_any_length_come_back_in_their_order(network: Network) -> None:
    model, processor = network
    sentences = [f"{'a' * (number % 7 + 1)} {chr(97 + number % 26)}" for number in range(300)]

    read = encode_sentences(model, processor, sentences, silent)

    assert read.shape == (300, 32)
    for place in (0, 6, 7, 255, 256, 299):
        alone = model.read_words(*word_tensors(processor, [sentences[place]]))[0]
        assert torch.nn.functional.cosine_similarity(read[place], alone, dim=0) > 0.999
        assert read[place].norm().item() == pytest.approx(1, abs=1e-5)


@torch.no_grad()
def test_grids_are_read_as_the_transformer_reads_each_alone(
    network: Network, pictures: list[CaptionedPicture], tmp_path: Path
) -> None:
    model, _ = network
    grids, _ = encode(network, pictures, tmp_path / "cache")

    read = read_grids(model, grids)

    assert read.shape == (35, 32)
    for place in (0, 31, 32, 34):
        alone = model.read_pixels(grids.read([place])[0])[0]
        assert torch.nn.functional.cosine_similarity(read[place], alone, dim=0) > 0.999


def test_grids_that_take_more_room_than_they_may_are_refused_and_leave_nothing_behind(
    network: Network, pictures: list[CaptionedPicture], tmp_path: Path
) -> None:
    encode_grids(*network, pictures, tmp_path / "unlimited", silent)
    [file] = (tmp_path / "unlimited").glob("*.bin")
    needed = file.stat().st_size

    with pytest.raises(GridsTooLarge, match="the grids of 35 pictures take about"):
        encode_grids(*network, pictures, tmp_path / "cache", silent, limit=0.8 * needed)
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(encode_grids(*network, pictures, tmp_path / "cache", silent, limit=1.2 * needed)) == 35
