"""Cached network outputs for a data set: grids for pictures, and encoded sentences."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from pixsearch.model.devices import autocast
from pixsearch.model.tensors import word_tensors
from pixsearch.progress import Progress, silent
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.grids import GridStore, encode_grids, encode_sentences
from tests.trainer.conftest import Loaded, Pictures
from tests.trainer.made_up import pixels_of


def encode(loaded: Loaded, pictures: Pictures, cache: Path, mirrored: bool = False) -> tuple[GridStore, int]:
    """Return the grids, and the number of pictures encoded to make them."""
    progress = [Progress("", 0)]
    grids = encode_grids(*loaded, pictures, cache, "train", progress.append, mirrored)
    return grids, progress[-1].done


@torch.no_grad()
@pytest.mark.parametrize("mirrored", [False, True])
def test_each_grid_is_the_cnns_of_its_picture_to_a_510th_of_its_largest_value(
    loaded: Loaded, packed: Pictures, tmp_path: Path, mirrored: bool
) -> None:
    """There are three batches, each in a different order: loading and packing in threads must not mix them up."""
    orders = [list(range(32)), list(range(31, -1, -1)), [*range(5, 32), *range(5)]]

    grids, encoded = encode(loaded, [packed[index] for order in orders for index in order], tmp_path, mirrored)

    pixels = pixels_of(packed).flip(3) if mirrored else pixels_of(packed)
    with autocast(pixels.device):  # as in the trainer, if the CPU multiplies in bf16
        expected = torch.cat([loaded[0].model.encode_grid(pixels[order]).float() for order in orders])
    read, mask = grids.read(range(96))
    assert ((read - expected).abs().amax((1, 2)) / expected.amax((1, 2))).max() < 1.02 / 510
    assert mask.all()
    assert len(grids) == encoded == 96


def test_what_was_encoded_is_read_and_not_encoded_again(loaded: Loaded, packed: Pictures, tmp_path: Path) -> None:
    """Different captions or a different Transformer do not change the grids. Without pictures, there are no grids."""
    first, _ = encode(loaded, packed, tmp_path)
    loaded[0].model.pixel_projection.weight.data.mul_(2)

    again, encoded = encode(loaded, [replace(picture, captions=("a dog",)) for picture in packed], tmp_path)

    assert encoded == 0
    assert np.array_equal(again.packed, first.packed)
    assert len(encode(loaded, [], tmp_path)[0]) == 0


@pytest.mark.parametrize("what", ["weights", "statistics", "input size", "order", "pictures", "pack"])
def test_what_changed_is_encoded_anew_and_the_grids_of_before_are_removed(
    loaded: Loaded, packed: Pictures, tmp_path: Path, what: str
) -> None:
    model, processor = loaded
    pack, cache = shutil.copy(str(packed[0].file.parent), tmp_path), tmp_path / "cache"
    pictures = [replace(picture, file=Path(pack) / picture.file.name) for picture in packed[:4]]
    before, _ = encode(loaded, pictures, cache)
    encode(loaded, pictures, cache, mirrored=True)
    of_mirrored = set(cache.glob("train-mirrored-*"))

    if what == "weights":
        model.model.backbone.get_parameter("head.0.weight").data.mul_(1.5)
    elif what == "statistics":
        model.model.backbone.get_buffer("head.1.running_mean").add_(0.5)
    elif what == "input size":
        model.config = processor.config = replace(model.config, input_size=96)
    elif what == "pack":
        with ZipFile(pack, "w") as archive:
            for picture, other in zip(pictures, packed[4:8], strict=True):
                archive.writestr(picture.file.name, ZipFile(str(other.file.parent)).read(other.file.name))
    else:
        pictures = pictures[::-1] if what == "order" else packed[1:5]
    after, encoded = encode(loaded, pictures, cache)

    assert encoded == 4
    assert after[0] != before[0]
    assert of_mirrored < set(cache.iterdir())
    assert len(list(cache.iterdir())) == 2 + len(of_mirrored) == 4


def test_grids_of_a_run_that_was_cut_while_encoding_are_not_taken_for_whole(
    loaded: Loaded, packed: Pictures, tmp_path: Path
) -> None:
    def cut(progress: Progress) -> None:
        if progress.done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_grids(*loaded, packed, tmp_path / "cut", "train", cut)
    assert not any((tmp_path / "cut").iterdir())
    grids, encoded = encode(loaded, packed, tmp_path / "cut")

    assert encoded == 32
    assert np.array_equal(grids.packed, encode(loaded, packed, tmp_path / "whole")[0].packed)


def test_a_picture_that_keeps_its_shape_has_the_same_grid_in_any_company(loaded: Loaded, tmp_path: Path) -> None:
    model, processor = loaded
    model.config = processor.config = replace(model.config, resize="shorter_edge")
    pictures = [CaptionedPicture(tmp_path / "pack.zip" / f"{number}.ppm", ("noise",)) for number in range(3)]
    with ZipFile(tmp_path / "pack.zip", "w") as archive:
        for picture, size in zip(pictures, ("64 64", "128 64", "64 96"), strict=True):
            noise = np.random.default_rng(0).bytes(3 * 128 * 64)
            archive.writestr(picture.file.name, f"P6 {size} 255\n".encode() + noise)

    together, _ = encode(loaded, pictures, tmp_path / "together")

    read, mask = together.read([1, 0, 2])
    assert mask.sum(1).tolist() == [8, 4, 6]  # 4 x 2, 2 x 2 and 2 x 3 cells of 32 pixels
    assert not read[~mask].any()
    assert torch.allclose(together.pooled()[1, :1280], read[0].mean(0), atol=1e-5)
    assert torch.allclose(together.pooled()[0], torch.cat([read[1, :4].mean(0), read[1, :4].amax(0)]), atol=1e-5)
    for number, picture in enumerate(pictures):
        assert encode(loaded, [picture], tmp_path / f"{number}")[0][0] == together[number]


@torch.no_grad()
def test_sentences_of_any_length_come_back_in_their_order_as_unit_vectors(loaded: Loaded) -> None:
    model, processor = loaded
    sentences = [f"{'a' * (number % 7 + 1)} {chr(97 + number % 26)}" for number in range(300)]

    read = encode_sentences(model, processor, sentences, silent)

    assert torch.allclose(read.norm(dim=1), torch.ones(300))
    for index in (0, 6, 7, 255, 256, 299):
        alone = model.read_words(*word_tensors(processor, [sentences[index]]))
        assert torch.nn.functional.cosine_similarity(read[[index]], alone).item() > 0.999
