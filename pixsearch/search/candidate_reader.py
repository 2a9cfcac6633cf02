"""Re-rank the best candidates with a second model, which reads their files."""

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
"""The maximum number of cached logits, which take a few megabytes."""

OpenStored = Callable[[StoredPicture, int], Image.Image]
"""Opens a picture in the library as RGB, given the minimum length of its shorter edge. Raises PictureError."""


def open_stored(picture: StoredPicture, min_edge: int) -> Image.Image:
    """Open the first of a picture's files that has not changed since it was indexed. Raises PictureError.

    `min_edge` has the same meaning as in `open_picture`.
    """
    return open_picture(read_first(picture.photos, picture.digest), min_edge)


@dataclass(frozen=True, slots=True)
class Readings:
    """The logits that a re-rank model returned, and the errors for pictures that could not be read."""

    logits: Floats  # [texts, pictures], NaN for a picture that could not be read
    errors: Mapping[int, str]
    """The error messages, keyed by the index of the picture."""


class CandidateReader:
    """Scores pictures for texts with a re-rank model. It is thread-safe, but runs in one thread at a time.

    Logits are cached by text and picture content, so a repeated query does not open any files.
    """

    def __init__(self, model: PairReader, open_picture: OpenStored = open_stored) -> None:
        self._model = model
        self._open = open_picture
        self._kept: dict[tuple[str, bytes], float] = {}
        self._lock = Lock()

    def read(self, texts: Sequence[str], pictures: Sequence[StoredPicture | None]) -> Readings:
        """Score every text with every picture; None stands for a picture that is no longer in the library."""
        logits, errors = np.full((len(texts), len(pictures)), np.nan, np.float32), dict[int, str]()
        with self._lock:
            for index, picture in enumerate(pictures):
                try:
                    logits[:, index] = self._read(texts, picture)
                except PictureError as error:
                    errors[index] = str(error)
        return Readings(logits, errors)

    def _read(self, texts: Sequence[str], picture: StoredPicture | None) -> list[float]:
        """Return the logits of one picture [texts]. Raises PictureError."""
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
