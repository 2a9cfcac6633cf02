"""Near misses: texts that are nearly true of a picture and are not, beside the texts that are true of it."""

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
    """A picture, what is true of it and what nearly is: a sentence of each, and a short query of each."""

    file: FilePath
    true: tuple[str, str]
    false: tuple[str, str]


def with_near_misses(pictures: Iterable[CaptionedPicture]) -> list[NearMisses]:
    """Return those that have a near miss of a sentence and one of a query, in this order.

    Of the captions the one is taken that shares most words with the near miss: it is what that was made from.
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
    """Return the text that shares most words with another one: the first of equals."""
    wanted = _words(other)
    return max(texts, key=lambda text: len(_words(text) & wanted) / len(_words(text) | wanted))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


@dataclass(frozen=True)
class NearMissScores:
    """Texts of pictures, scored with a picture and less their mean score with other pictures, all [2, pictures]:
    sentences, short queries."""

    true: Floats
    false: Floats

    @property
    def accuracy(self) -> tuple[float, float]:
        """The percentage of pictures with the true text above the false one: sentences, short queries."""
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
    """Return the scores "similarity" and "joint" with each text's own picture, and both with the stand-in in its place.

    The stand-in must score about 50 %: else the wording alone tells what is true. Its scores follow the mean scores of
    the texts with a slope of their own (2 for similarities: a mean is shorter than the unit vector in its direction),
    which is fitted, and as much is taken off.

    Args:
        encoded: the same pictures.
        stand_in: embedding and grid of what no text is about. The names of its scores end in ", stand-in".
        others: with how many other pictures, drawn at random, a text's mean joint score is taken; that of similarity is
            taken with all.
    """
    count, drawn = len(pictures), random.Random(seed)
    embeddings = np.concatenate([encoded.embeddings, stand_in[0][None]])
    grids = [*encoded.grids, stand_in[1]]
    # Of each stage: with the own picture, with the stand-in, on average with others; true or false; sentence or query.
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
