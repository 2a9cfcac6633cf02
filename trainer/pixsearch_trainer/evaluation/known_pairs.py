"""Collect pairs of a text and a picture that are known to be right or wrong, for fitting a calibration.

Both stages score the same pairs, so that their probabilities are comparable.
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
"""The share of right pairs in a search: 225 of 3,840 pairs of 120 judged queries with the 32 nearest of 199
photos."""
NEAR_MISS_SHARE = 0.1
"""The share of near misses in the total weight of wrong pairs. With this share, captioned pictures yield the same curve
as judged queries (docs/history.md)."""
ALBUM = 200
"""The number of pictures that are searched together, about the size of the judged album. In a larger album, the nearest
pictures would be more similar."""
_UNSURE, _NEAREST, _EVERY = 8, 32, 3
_FEWEST_NEAR_MISSES = 50  # the minimum number of pictures with near misses

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class KnownPairs:
    """Pairs of a text and a picture that are known to be right or wrong; each field is an array [pairs]."""

    logits: Doubles
    """The ITM logits; NaN where the joint stream did not read the pair."""
    late: Doubles
    """The late interaction scores."""
    right: Bools
    weights: Doubles
    queries: Indices
    """The indices of the texts."""
    present: Bools
    """True if the album has a right picture for the text, even if no pair contains it."""
    groups: Indices
    """The group of each pair. The pairs of a query, or of all texts of a picture, form a group, which is held out as a
    whole when a curve is evaluated."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that have scored every pair."""
        return ("late",) if np.isnan(self.logits).any() else ("joint", "late")

    def scores(self, stage: Stage) -> Doubles:
        """Return the scores of a stage."""
        return self.logits if stage == "joint" else self.late

    def part(self, here: Bools) -> KnownPairs:
        """Return the pairs where `here` is True."""
        return KnownPairs(*(getattr(self, field.name)[here] for field in dataclasses.fields(self)))


def judged_pairs(search: JudgedSearch) -> KnownPairs:
    """Return each judged query paired with each of its candidates, with equal weights."""
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
    """Sample pictures for `caption_pairs`, only from those with near misses if there are enough of them."""
    near = [picture for picture in pictures if picture.near_misses]
    of = near if len(near) >= _FEWEST_NEAR_MISSES else list(pictures)
    return random.Random(seed).sample(of, min(count, len(of)))


def caption_pairs(runtime: Runtime, encoded: EncodedPictures, on_progress: ProgressCallback = silent) -> KnownPairs:
    """Return right and wrong pairs made from captioned pictures, weighted as in a search.

    A picture is right for its first caption and first query, and wrong for its near misses. For the caption and
    the query, every third picture from the 9th to the 32nd nearest, out of 200, is also wrong. The 8 nearest are
    skipped because the text may be true of them, even though it was written for a different picture. If most
    pictures have no near misses, near misses are not used, and the 8 nearest pictures are not skipped although some of
    them are right.
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
    """Yield the slice of each picture's album, and the picture's index in it. Albums have similar sizes."""
    edges = np.linspace(0, pictures, -(-pictures // ALBUM) + 1).round().astype(int).tolist()
    for start, end in pairwise(edges):
        yield from ((slice(start, end), picture) for picture in range(end - start))


def _weights(right: Bools, near: Bools) -> Doubles:
    """Return weights that give right pairs the same share as in a search. Their sum is the number of pairs."""
    far = ~right & ~near
    near_share = NEAR_MISS_SHARE if far.any() and near.any() else float(near.any())
    weights, wrong = np.zeros(len(right)), 1 - RIGHT_SHARE
    for kind, share in ((right, RIGHT_SHARE), (near, wrong * near_share), (far, wrong * (1 - near_share))):
        weights[kind] = share * len(right) / max(kind.sum(), 1)
    return weights
