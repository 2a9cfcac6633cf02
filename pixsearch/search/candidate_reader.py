"""A second stage by another model than the library's: it reads the files of the few best candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from PIL import Image

from pixsearch.errors import PictureError
from pixsearch.library.photo_files import read_first
from pixsearch.library.records import StoredPicture
from pixsearch.pictures import open_picture
from pixsearch.search.runtime import Floats, PairReader

_MOST_KEPT = 10_000
"""Logits of texts with pictures: some megabytes."""

OpenStored = Callable[[StoredPicture, int], Image.Image]
"""A picture of the library and what its shorter edge should have -> RGB. Raises PictureError."""


def open_stored(picture: StoredPicture, min_edge: int) -> Image.Image:
    """Decode the first of a picture's photos that is what was indexed, as `open_picture` does. Raises PictureError."""
    return open_picture(read_first(picture.photos, picture.digest), min_edge)


@dataclass(frozen=True, slots=True)
class Readings:
    """The readings of a model in pictures."""

    logits: Floats  # [texts, pictures], NaN for a picture that could not be read
    errors: Mapping[int, str]
    """Why, by the picture's index."""


class CandidateReader:
    """Opens pictures and has a model read them with texts. Threads may use it together; one reads at a time.

    Logits are kept by text and content, so that what is asked again needs no file.
    """

    def __init__(self, model: PairReader, open_picture: OpenStored = open_stored) -> None:
        self._model = model
        self._open = open_picture
        self._kept: dict[tuple[str, bytes], float] = {}
        self._lock = Lock()

    def read(self, texts: Sequence[str], pictures: Sequence[StoredPicture | None]) -> Readings:
        """Read every text with every picture; None is one that has left the library."""
        logits, errors = np.full((len(texts), len(pictures)), np.nan, np.float32), dict[int, str]()
        with self._lock:
            for index, picture in enumerate(pictures):
                try:
                    logits[:, index] = self._read(texts, picture)
                except PictureError as error:
                    errors[index] = str(error)
        return Readings(logits, errors)

    def _read(self, texts: Sequence[str], picture: StoredPicture | None) -> list[float]:
        """Raises PictureError."""
        if picture is None:
            raise PictureError("no longer in the library")
        keys = [(text, picture.digest) for text in texts]
        missing = [key for key in dict.fromkeys(keys) if key not in self._kept]
        if missing:
            opened = self._open(picture, self._model.min_edge)
            found = self._model.logits([text for text, _ in missing], opened).tolist()
            self._kept.update(zip(missing, found, strict=True))
        read = [self._kept[key] for key in keys]
        while len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return read
