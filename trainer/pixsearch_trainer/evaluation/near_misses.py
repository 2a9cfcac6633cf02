"""Near misses: texts that are almost true of a picture but false, compared with its true texts."""

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
    """A picture with true texts and near misses, each of which are a sentence and a short query."""

    file: FilePath
    true: tuple[str, str]
    false: tuple[str, str]


def with_near_misses(pictures: Iterable[CaptionedPicture]) -> list[NearMisses]:
    """Return the pictures that have a near miss of a sentence and one of a query, in this order.

    The true sentence is the caption that shares most words with the near miss, which was made from it.
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
    """Return the text that shares most words with another one; the first if several do."""
    wanted = _words(other)
    return max(texts, key=lambda text: len(_words(text) & wanted) / len(_words(text) | wanted))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


@dataclass(frozen=True)
class NearMissScores:
    """The scores of texts with a picture, minus their mean scores with other pictures [2, pictures]: of sentences, and
    of short queries."""

    true: Floats
    false: Floats

    @property
    def accuracy(self) -> tuple[float, float]:
        """The percentages of pictures whose true text scores higher than the false one: of sentences, and of short
        queries."""
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
    """Return the scores "similarity" and "joint" of each text with its own picture, and with a stand-in instead.

    The accuracy with the stand-in must be about 50 %; otherwise the wording alone reveals the true text. The stand-in's
    scores follow the mean scores of the texts with a slope of their own (2 for similarities: a mean is shorter than the
    unit vector in its direction), which is fitted and subtracted.

    Args:
        encoded: the same pictures, encoded.
        stand_in: the embedding and grid of a picture that no text is about. The names of its scores end in
            ", stand-in".
        others: the number of random other pictures for a text's mean joint score; its mean similarity is over all.
    """
    count, drawn = len(pictures), random.Random(seed)
    embeddings = np.concatenate([encoded.embeddings, stand_in[0][None]])
    grids = [*encoded.grids, stand_in[1]]
    # For each stage [own picture, stand-in, or mean of others; true or false; sentence or query; picture].
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
