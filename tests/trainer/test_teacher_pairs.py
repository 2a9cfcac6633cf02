"""Sentences for pictures without words, and a teacher's embeddings in the order of training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from pixsearch.errors import DatasetError
from pixsearch.progress import silent
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.teacher import Teacher
from pixsearch_trainer.teacher_pairs import pairs_of_teacher
from tests.photos import make_photo
from tests.tiny_teacher import make_tiny_clip

TOKENIZER = Tokenizer(WordPiece({"[UNK]": 0}, unk_token="[UNK]"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    return Teacher.load(str(make_tiny_clip(tmp_path_factory.mktemp("clip"))))


def test_a_picture_without_words_gets_the_sentences_that_the_teacher_finds_nearest(
    teacher: Teacher, tmp_path: Path
) -> None:
    plain, captioned = (make_photo(tmp_path / f"{colour}.png", colour) for colour in ("red", "blue"))
    texts = tmp_path / "texts.txt"
    bank = ["all blue", *(f"{letter}{letter}" for letter in "abcdefgh")]
    texts.write_text("\n".join(bank[1:]))
    pictures = [CaptionedPicture(plain, ()), CaptionedPicture(captioned, ("all blue",))]

    paired, _ = pairs_of_teacher(teacher, pictures, texts, TOKENIZER, 0, silent)

    image = teacher.embed_pictures([Image.open(plain).convert("RGB")])
    cosines = (teacher.embed_texts(bank) @ image.T)[:, 0].tolist()
    nearest = sorted(bank, key=lambda text: -cosines[bank.index(text)])[:5]
    assert list(paired[0].captions) == nearest
    assert paired[1] == pictures[1]


def test_embeddings_are_in_the_order_of_the_pictures_and_of_their_captions(teacher: Teacher, tmp_path: Path) -> None:
    colours = ("red", "green", "blue")
    pictures = [
        CaptionedPicture(make_photo(tmp_path / f"{colour}.png", colour), captions)
        for colour, captions in zip(colours, ((), ("a b", "c d"), ("e f",)), strict=True)
    ]

    paired, embeddings = pairs_of_teacher(teacher, pictures, None, TOKENIZER, 0, silent)

    sentences = Captions.of(paired).sentences
    for text, embedding in zip(sentences, embeddings.texts, strict=True):
        assert torch.allclose(embedding.float(), teacher.embed_texts([text])[0], atol=2e-3), text
    for picture, embedding in zip(paired, embeddings.images, strict=True):
        [seen] = teacher.embed_pictures([Image.open(str(picture.file)).convert("RGB")])
        assert torch.allclose(embedding.float(), seen, atol=2e-3)


def test_no_pictures_are_an_error_that_says_so(teacher: Teacher) -> None:
    with pytest.raises(DatasetError, match="no picture"):
        pairs_of_teacher(teacher, [], None, TOKENIZER, 0, silent)
