"""Compare the scores of a picture's true texts with those of near misses: texts that are almost true of the picture."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch.search.cascade import read_every_pair
from pixsearch.search.runtime import Floats, Runtime
from pixsearch.storage import FilePath
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.evaluation.encoding import EncodedPictures

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class NearMisses:
    """A picture with its true texts and its near misses; both consist of a sentence and a short query."""

    file: FilePath
    true: tuple[str, str]
    false: tuple[str, str]


def with_near_misses(pictures: Iterable[CaptionedPicture]) -> list[NearMisses]:
    """Return the pictures with two near misses, one for a sentence followed by one for a query.

    The true sentence is the caption that shares the most words with the near miss, which was probably derived from it.
    """
    return [
        NearMisses(
            picture.file,
            (_nearest(picture.captions, picture.near_misses[0]), picture.queries[0]),
            (picture.near_misses[0], picture.near_misses[1]),
        )
        for picture in pictures
        if len(picture.near_misses) == 2 and picture.queries
    ]


def _nearest(texts: Sequence[str], other: str) -> str:
    """Return the text that shares the largest proportion of words with `other`, or the first such text."""
    wanted = _words(other)
    return max(texts, key=lambda text: len(_words(text) & wanted) / len(_words(text) | wanted))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


@dataclass(frozen=True)
class NearMissScores:
    """The scores of texts with their pictures, minus the mean scores with other pictures [2, pictures].

    The first row is for sentences, the second for short queries.
    """

    true: Floats
    false: Floats

    @property
    def accuracy(self) -> tuple[float, float]:
        """The percentages of sentences and short queries scoring higher than their near misses. Ties count as half."""
        above = (self.true > self.false) + (self.true == self.false) / 2
        sentences, queries = 100 * above.mean(1)
        return float(sentences), float(queries)


def score_near_misses(
    runtime: Runtime,
    pictures: Sequence[NearMisses],
    encoded: EncodedPictures,
    stand_in: tuple[Floats, bytes],
    others: int,
    seed: int = 0,
    on_progress: ProgressCallback = silent,
) -> dict[str, NearMissScores]:
    """Return the scores "similarity" and "joint" of each text with its own picture, and with an unrelated stand-in.

    The accuracy with the stand-in should be about 50 %. If it is not, the wording alone reveals the true text. The
    scores with the stand-in depend linearly on the mean scores of the texts, and this trend is subtracted. Its slope is
    fitted (2 for similarities, because the mean embedding is shorter than a unit vector).

    Args:
        encoded: the encoded pictures, in the same order.
        stand_in: the embedding and grid of a picture that none of the texts describes. The names of its scores end in
            ", stand-in".
        others: the number of random other pictures in a text's mean joint score. The mean similarity is over all
            other pictures.
    """
    count, drawn = len(pictures), random.Random(seed)
    embeddings = np.concatenate([encoded.embeddings, stand_in[0][None]])
    grids = [*encoded.grids, stand_in[1]]
    # The axes are: own picture, stand-in or mean of others; true or false; sentence or query; picture.
    scores = {stage: np.empty((3, 2, 2, count), np.float32) for stage in ("similarity", "joint")}
    for index, picture in enumerate(pictures):
        rest = drawn.sample([other for other in range(count) if other != index], min(others, count - 1))
        chosen = [index, count, *rest]
        for truth, texts in enumerate((picture.true, picture.false)):
            for kind, text in enumerate(texts):
                read = runtime.read_texts([text])
                similarity = embeddings @ read[0].embedding
                _, match = read_every_pair(runtime, read, [grids[one] for one in chosen], embeddings[chosen])
                mean = (similarity[:count].sum() - similarity[index]) / (count - 1)
                scores["similarity"][:, truth, kind, index] = similarity[index], similarity[count], mean
                scores["joint"][:, truth, kind, index] = match[0], match[1], match[2:].mean()
        on_progress(Progress("matching near misses", index + 1, count))
    results = {}
    for stage, (own, stood_in, means) in scores.items():
        results[stage] = NearMissScores(*(own - means))
        slopes = np.array([np.polyfit(means[:, kind].ravel(), stood_in[:, kind].ravel(), 1)[0] for kind in (0, 1)])
        results[f"{stage}, stand-in"] = NearMissScores(*(stood_in - slopes[:, None] * means))
    return results
