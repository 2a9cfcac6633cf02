"""Batches of pictures with a caption each."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from pixsearch.errors import DatasetError
from pixsearch.model.checkpoints import load_network
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import picture_tensors, word_tensors
from pixsearch.pictures import open_picture
from pixsearch_trainer.batches.augmentation import mirrored_caption
from pixsearch_trainer.batches.draws import Draws
from pixsearch_trainer.batches.pairs import PairBatch, PairBatches
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions


@pytest.fixture(scope="module")
def processor(tiny_start: Path) -> PixelBertProcessor:
    return load_network(tiny_start)[1]


def batches(
    pictures: list[CaptionedPicture],
    processor: PixelBertProcessor,
    first: int = 0,
    count: int = 3,
    augment: bool = False,
    others: int = 0,
    workers: int = 0,
    rank: int = 0,
    processes: int = 1,
    seed: int = 0,
) -> list[PairBatch]:
    draws = Draws(torch.ones(len(pictures)), 8, seed)
    made = PairBatches(
        pictures,
        Captions.of(pictures),
        processor,
        draws,
        torch.device("cpu"),
        seed,
        None,
        augment,
        others,
        workers,
        rank,
        processes,
    )
    return list(islice(made(first), count))


def assert_equal(one: list[PairBatch], other: list[PairBatch]) -> None:
    for left, right in zip(one, other, strict=True):
        assert left.names == right.names
        assert left.pixels is not None
        assert right.pixels is not None
        assert all(torch.equal(*pair) for pair in zip(left.pixels, right.pixels, strict=True))
        for field in ("pictures", "captions", "ids", "mask"):
            assert torch.equal(getattr(left, field), getattr(right, field)), field


def test_a_row_is_a_picture_with_a_caption_of_its_own(
    mosaics: list[CaptionedPicture], processor: PixelBertProcessor
) -> None:
    [batch] = batches(mosaics, processor, count=1)
    sentences = Captions.of(mosaics).sentences

    assert len(batch) == len(set(batch.names)) == 8
    for row, (place, caption) in enumerate(zip(batch.pictures.tolist(), batch.captions.tolist(), strict=True)):
        picture = mosaics[place]
        assert batch.names[row] == str(picture.file)
        assert sentences[caption] in picture.captions
        ids, mask = word_tensors(processor, [sentences[caption]])
        assert torch.equal(batch.ids[row][batch.mask[row].bool()], ids[0][mask[0].bool()])
        assert batch.pixels is not None
        [pixels] = picture_tensors(processor, [open_picture(picture.file, 64)])
        assert torch.equal(batch.pixels[row], pixels)


def test_all_captions_of_a_picture_are_drawn_in_time(
    mosaics: list[CaptionedPicture], processor: PixelBertProcessor
) -> None:
    drawn = {int(caption) for batch in batches(mosaics[:8], processor, count=40) for caption in batch.captions}

    assert drawn == set(range(40))


@pytest.mark.parametrize("augment", [False, True])
def test_workers_and_where_a_run_began_change_nothing(
    mosaics: list[CaptionedPicture], processor: PixelBertProcessor, augment: bool
) -> None:
    whole = batches(mosaics, processor, count=5, augment=augment)

    assert_equal(batches(mosaics, processor, first=2, count=3, augment=augment, workers=2), whole[2:])


def test_processes_share_a_step_between_them(mosaics: list[CaptionedPicture], processor: PixelBertProcessor) -> None:
    whole = batches(mosaics, processor, augment=True)
    shares = [batches(mosaics, processor, augment=True, rank=rank, processes=2) for rank in (0, 1)]

    for step, batch in enumerate(whole):
        assert batch.names == shares[0][step].names + shares[1][step].names
        assert torch.equal(batch.captions, torch.cat([share[step].captions for share in shares]))
        pixels = [tensor for share in shares for tensor in share[step].pixels or []]
        assert all(torch.equal(*pair) for pair in zip(batch.pixels or [], pixels, strict=True))


def test_augmented_pictures_are_other_views_each_time(
    mosaics: list[CaptionedPicture], processor: PixelBertProcessor
) -> None:
    views = {
        batch.pixels[batch.names.index(str(mosaics[0].file))].sum().item()
        for batch in batches(mosaics[:8], processor, count=6, augment=True)
        if batch.pixels is not None
    }

    assert len(views) == 6


def test_a_mirrored_picture_has_a_mirrored_caption(tmp_path: Path, processor: PixelBertProcessor) -> None:
    from PIL import Image

    picture = Image.new("RGB", (64, 64), "white")
    picture.paste("black", (0, 0, 32, 64))
    pictures = []
    for number in range(8):
        picture.save(tmp_path / f"{number}.png")
        pictures.append(CaptionedPicture(tmp_path / f"{number}.png", ("left is black",)))
    caption, other = (word_tensors(processor, [text])[0] for text in ("left is black", "right is black"))

    seen = set()
    for batch in batches(pictures, processor, count=4, augment=True):
        assert batch.pixels is not None
        for row, pixels in enumerate(batch.pixels):
            ids = batch.ids[row][batch.mask[row].bool()]
            black_on_the_left = bool(pixels[:, :, 0].mean() < pixels[:, :, -1].mean())
            assert torch.equal(ids, (caption if black_on_the_left else other)[0])
            seen.add(black_on_the_left)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("caption", "mirrored"),
    [
        ("a dog on the left of a cat", "a dog on the right of a cat"),
        ("Right in front, left behind", "Left in front, right behind"),
        ("bright leftovers", "bright leftovers"),
    ],
)
def test_left_and_right_change_places_in_a_mirror(caption: str, mirrored: str) -> None:
    assert mirrored_caption(caption) == mirrored


def test_other_captions_that_come_along_are_never_the_pictures_own(
    mosaics: list[CaptionedPicture], processor: PixelBertProcessor
) -> None:
    few = mosaics[:8]
    words = [word_tensors(processor, list(picture.captions))[0].tolist() for picture in few]

    for batch in batches(few, processor, others=20, count=4):
        assert batch.other_ids is not None
        assert batch.other_mask is not None
        assert batch.other_ids.shape[:2] == (8, 20)
        for place, ids, mask in zip(batch.pictures.tolist(), batch.other_ids, batch.other_mask, strict=True):
            drawn = [row[kept.bool()].tolist() for row, kept in zip(ids, mask, strict=True)]
            assert not any(sentence in words[place] for sentence in drawn)
            assert len({tuple(sentence) for sentence in drawn}) > 10


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_cannot_be_decoded_is_named_from_whichever_process(
    mosaics: list[CaptionedPicture], processor: PixelBertProcessor, tmp_path: Path, workers: int
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(mosaics[0].file.read_bytes()[:50])

    with pytest.raises(DatasetError, match=r"broken\.png"):
        batches([replace(mosaics[0], file=broken), *mosaics[1:8]], processor, workers=workers)
