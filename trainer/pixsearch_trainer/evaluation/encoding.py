"""Encode captioned pictures and their captions for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image

from pixsearch.decoding import decode_pictures
from pixsearch.errors import DatasetError
from pixsearch.model.late_scores import ReadText
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch.search.runtime import Floats, Runtime
from pixsearch.storage import FilePath
from pixsearch_trainer.data.pack import is_pack, open_packed
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.data.problems import Problem

_PICTURES_AT_ONCE, _SENTENCES_AT_ONCE = 32, 256


@dataclass(frozen=True)
class EncodedPictures:
    """Pictures with their embeddings [pictures, embedding size], packed grids and encoded captions."""

    pictures: list[CaptionedPicture]
    embeddings: Floats
    grids: list[bytes]
    texts: dict[str, ReadText]

    def part(self, here: slice) -> EncodedPictures:
        """Return a slice of the pictures."""
        return EncodedPictures(self.pictures[here], self.embeddings[here], self.grids[here], self.texts)


def _refuse(problem: Problem) -> None:
    raise DatasetError(str(problem), "Fix the file or remove it from the data set")


def encode(
    runtime: Runtime,
    pictures: Sequence[CaptionedPicture],
    on_progress: ProgressCallback = silent,
    on_problem: Callable[[Problem], None] = _refuse,
) -> EncodedPictures:
    """Encode pictures and their captions.

    Args:
        pictures: pictures that are all files, or are all in the same pack.
        on_problem: a function that is called for each picture that cannot be decoded. The picture is then skipped. By
            default, DatasetError is raised.
    """
    readable, embeddings, grids = list[CaptionedPicture](), list[Floats](), list[bytes]()
    decoded = zip(
        pictures, _decode([picture.file for picture in pictures], runtime.input_shape.input_size), strict=True
    )
    for done in range(0, len(pictures), _PICTURES_AT_ONCE):
        images = []
        for picture, image in islice(decoded, _PICTURES_AT_ONCE):
            if isinstance(image, str):
                on_problem(Problem(picture.file, None, image))
            else:
                images.append(image)
                readable.append(picture)
        if images:
            vectors, packed = runtime.encode_pictures(images)
            embeddings.extend(vectors)
            grids.extend(packed)
        on_progress(Progress("encoding pictures", min(done + _PICTURES_AT_ONCE, len(pictures)), len(pictures)))
    sentences, texts = Captions.of(readable).sentences, dict[str, ReadText]()
    for start in range(0, len(sentences), _SENTENCES_AT_ONCE):
        batch = sentences[start : start + _SENTENCES_AT_ONCE]
        texts.update(zip(batch, runtime.read_texts(batch), strict=True))
        on_progress(Progress("encoding captions", len(texts), len(sentences)))
    return EncodedPictures(readable, np.array(embeddings), grids, texts)


def _decode(files: Sequence[FilePath], edge: int) -> Iterator[Image.Image | str]:
    """Yield each decoded picture, or the reason why it cannot be decoded. Raises DatasetError if a pack is damaged."""
    if files and is_pack(files[0].parent):
        return (open_packed(file, edge) for file in files)
    return decode_pictures(files, edge)
