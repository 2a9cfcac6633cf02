"""What a teacher says of a data set: sentences for the pictures that have none, and the embeddings to learn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer

from pixsearch.errors import DatasetError
from pixsearch.progress import ProgressCallback
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.objectives.distillation import TeacherEmbeddings, nearest_texts
from pixsearch_trainer.teacher import Teacher, encode_with_teacher
from pixsearch_trainer.teacher_texts import text_bank

_SENTENCES_A_PICTURE = 5  # as many as people wrote for each in Flickr8k and COCO


def pairs_of_teacher(
    teacher: Teacher,
    pictures: Sequence[CaptionedPicture],
    texts: Path | None,
    tokenizer: Tokenizer,
    workers: int,
    on_progress: ProgressCallback,
) -> tuple[list[CaptionedPicture], TeacherEmbeddings]:
    """Training pictures that all have sentences, and the teacher's embeddings of both.

    A picture without words gets the sentences of the bank that the teacher finds nearest to it; for the bank see
    `teacher_texts.text_bank`.

    Args:
        pictures: of the split train, with or without captions.
        texts: a file with further sentences for the bank.

    Returns:
        The pictures, and embeddings in the order of these pictures and of `Captions.of` them.

    Raises:
        DatasetError: there is no picture, one cannot be decoded, or the file cannot be read.
    """
    if not pictures:
        raise DatasetError("there is no picture to ask the teacher about", "Give some in the split train")
    bank = text_bank((text for picture in pictures for text in picture.captions), texts, tokenizer)
    embeddings = encode_with_teacher(teacher, pictures, bank, on_progress, max(1, workers))
    nearest = nearest_texts(embeddings, _SENTENCES_A_PICTURE).tolist()
    captioned = [
        picture if picture.captions else dataclasses.replace(picture, captions=tuple(bank[place] for place in places))
        for picture, places in zip(pictures, nearest, strict=True)
    ]
    place_of = {sentence: place for place, sentence in enumerate(bank)}
    order = torch.tensor([place_of[sentence] for sentence in Captions.of(captioned).sentences])
    return captioned, dataclasses.replace(embeddings, texts=embeddings.texts[order])
