"""Pairs of a text and a picture that are known to be right or wrong: what a calibration is fitted on.

Both stages score the same pairs, so that the probabilities of both mean the same.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pixsearch.model.config import Stage
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch.search.cascade import read_every_pair
from pixsearch.search.runtime import Runtime
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.evaluation.encoding import EncodedPictures
from pixsearch_trainer.evaluation.judged import JudgedSearch

RIGHT_SHARE = 0.06
"""Share of a search's pairs that are right: 225 of 3,840, of 120 judged queries to 199 photos with their 32 nearest."""
NEAR_MISS_SHARE = 0.1
"""Share of near misses in the weight of what is wrong: with it the curve of captioned pictures is that of the judged
queries (docs/experiments.md)."""
ALBUM = 200
"""Pictures that are searched together, as many as the judged album has: of more the nearest would be nearer."""
_UNSURE, _NEAREST, _EVERY = 8, 32, 3
_FEWEST_NEAR_MISSES = 50  # pictures that have some

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class KnownPairs:
    """Pairs of a text and a picture that are known to be right or wrong; each field is an array [pairs]."""

    logits: Doubles
    """ITM logits; NaN where the model gives none."""
    late: Doubles
    """Late scores."""
    right: Bools
    weights: Doubles
    queries: Indices
    """The index of the text."""
    present: Bools
    """Whether a picture is right for the text, among its pairs or elsewhere in the album."""
    groups: Indices
    """What is left out together when a curve is judged: the pairs of one query, or of one picture's texts."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that have scored every pair."""
        return ("late",) if np.isnan(self.logits).any() else ("joint", "late")

    def scores(self, stage: Stage) -> Doubles:
        """Return what a stage says of the pairs."""
        return self.logits if stage == "joint" else self.late

    def part(self, here: Bools) -> KnownPairs:
        """Return some of the pairs."""
        return KnownPairs(*(getattr(self, field.name)[here] for field in dataclasses.fields(self)))


def judged_pairs(search: JudgedSearch) -> KnownPairs:
    """Return the pairs of judged queries and their candidates, which the joint stream read all; all weigh the same."""
    queries = np.repeat(np.arange(len(search.logits)), search.logits.shape[1])
    return KnownPairs(
        search.logits.ravel().astype(np.float64),
        search.late.ravel().astype(np.float64),
        search.labels.ravel(),
        np.ones(search.logits.size),
        queries,
        search.present[queries],
        queries,
    )


def choose_pictures(pictures: Sequence[CaptionedPicture], count: int, seed: int = 0) -> list[CaptionedPicture]:
    """Draw pictures for `caption_pairs`: of those with near misses, where there are enough of them, else of all."""
    near = [picture for picture in pictures if picture.near_misses]
    of = near if len(near) >= _FEWEST_NEAR_MISSES else list(pictures)
    return random.Random(seed).sample(of, min(count, len(of)))


def caption_pairs(runtime: Runtime, encoded: EncodedPictures, on_progress: ProgressCallback = silent) -> KnownPairs:
    """Return what is known of captioned pictures, weighted as in a search.

    Right are a picture's first caption and first query. Wrong are its near misses, and each of those two texts with
    every third from the 9th to the 32nd nearest of 200 pictures. The 8 nearest are left out: that nobody wrote the text
    for them does not make it wrong of them. Where most pictures have no near misses the nearest ones stand for them,
    though some of those are right.
    """
    unsure = _UNSURE if 2 * sum(bool(picture.near_misses) for picture in encoded.pictures) > len(encoded.grids) else 0
    rows: list[tuple[float, float, bool, bool, int, int]] = []  # logit, late score, right, near miss, text, picture
    texts = 0
    for start, picture in _albums(len(encoded.pictures)):
        album = encoded.part(start)
        own = album.pictures[picture]
        true = [*own.captions[:1], *own.queries[:1]]
        mine = runtime.read_texts([*true, *(own.near_misses if unsure else ())])
        group = start.start + picture
        late, logits = read_every_pair(runtime, mine, album.grids[picture : picture + 1], album.embeddings[[picture]])
        rows += [
            (logit, score, index < len(true), index >= len(true), texts + index, group)
            for index, (logit, score) in enumerate(zip(logits.tolist(), late.tolist(), strict=True))
        ]
        for index, text in enumerate(mine[: len(true)]):
            others = np.argsort(-(album.embeddings @ text.embedding), kind="stable")
            others = others[others != picture][unsure:_NEAREST:_EVERY]
            if len(others):
                grids = [album.grids[other] for other in others]
                late, logits = read_every_pair(runtime, [text], grids, album.embeddings[others])
                pairs = zip(logits.tolist(), late.tolist(), strict=True)
                rows += [(logit, score, False, False, texts + index, group) for logit, score in pairs]
        texts += len(mine)
        on_progress(Progress("matching captions", group + 1, len(encoded.pictures)))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    right, near, queries, groups = columns[2:]
    present = np.isin(queries, queries[right])
    return KnownPairs(columns[0], columns[1], right, _weights(right, near), queries, present, groups)


def _albums(pictures: int) -> Iterator[tuple[slice, int]]:
    """Yield for each picture the album that it is searched in, and its index there; albums are as large as may be."""
    edges = np.linspace(0, pictures, -(-pictures // ALBUM) + 1).round().astype(int).tolist()
    for start, end in pairwise(edges):
        yield from ((slice(start, end), picture) for picture in range(end - start))


def _weights(right: Bools, near: Bools) -> Doubles:
    """Return weights, of which right pairs have the share that they have in a search; their sum is their number."""
    far = ~right & ~near
    near_share = NEAR_MISS_SHARE if far.any() and near.any() else float(near.any())
    weights, wrong = np.zeros(len(right)), 1 - RIGHT_SHARE
    for kind, share in ((right, RIGHT_SHARE), (near, wrong * near_share), (far, wrong * (1 - near_share))):
        weights[kind] = share * len(right) / max(kind.sum(), 1)
    return weights
