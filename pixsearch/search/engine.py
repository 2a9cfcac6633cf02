"""The two stages: FAISS finds the nearest photos, Pixel-BERT reads the words and the pixels of the best together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pixsearch.errors import PictureError, UsageError
from pixsearch.library.filters import NO_FILTERS
from pixsearch.library.library import Library
from pixsearch.library.records import Candidate, StoredPicture
from pixsearch.model.late_scores import ReadText
from pixsearch.pictures import open_picture
from pixsearch.search.cascade import CascadeScores, ordered_by_late, rerank_pictures, rerank_texts
from pixsearch.search.explain import Explanation, explain_grid
from pixsearch.search.hits import LIKELY_FROM, Hit, TextHit, hits_of
from pixsearch.search.listing import in_order_of_dates, listed_photos
from pixsearch.search.query import Picture, Query, Words
from pixsearch.search.runtime import Floats, Runtime
from pixsearch.storage import path_bytes

MAY_BE_ALIKE, ALIKE = 0.9, 0.85
"""Cosine of embeddings and likeness of grids from which on two pictures are near-duplicates. The embedding alone
will not do: two daisies are as near to each other as two copies of one. docs/experiments.md has the figures."""


@dataclass(slots=True)
class _Found:
    """A picture of the first stage, and those that are folded into it."""

    candidate: Candidate
    similarity: float
    similar: list[Candidate] = field(default_factory=list)


class SearchEngine:
    """Answers queries from a library, with the model that the library was indexed with.

    with Library.open(folder) as library:
        for hit in SearchEngine(library).search("a cat"):
            print(hit.rank, hit.path)
    """

    def __init__(self, library: Library, runtime: Runtime | None = None) -> None:
        """`runtime` is the checkpoint that ships unless another one is given."""
        self._library = library
        self._runtime = _shipped_runtime() if runtime is None else runtime

    def search(self, query: Query | str, k: int = 10) -> list[Hit]:
        """The k best pictures, best first; fewer where the library holds fewer that pass filters and threshold.

        Without words and pictures all that pass the filters, by date.

        Likely hits (`Hit.likely`) come before the others; where match orders, of both kinds those that the joint stream
        read before those that late interaction scored alone. The order is the same on every run: equal matches and late
        scores by similarity, equal similarities by path.

        Raises UsageError, ModelMismatch, PictureError for a picture in the query that cannot be read, LibraryError.
        """
        if isinstance(query, str):
            query = Query((Words(query),))
        if k < 1:
            raise UsageError(f"{k} hits are too few", "Ask for 1 or more")
        if query.rerank and not query.words:
            raise UsageError("a query without words cannot be re-ranked", "Pictures are compared by similarity alone")
        if query.threshold is not None and query.main_words is None:
            raise UsageError("only words have a probability to match", "Leave the threshold out, or add words")
        if not query.parts:
            return listed_photos(self._library, query, k)
        if not self._has_features():
            return []
        if query.words:
            self._runtime.prepare_for_words()
        self._library.vectors()  # before the words, while what reads them may still be loading
        texts = self._runtime.read_texts([words.text for words in query.words]) if query.words else []
        by_match = self._orders_by_match(query)
        last = query.offset + k
        is_ordered = by_match or query.threshold is not None or query.sort != "relevance"
        count = last
        if is_ordered:  # twice as many at a time, so that an answer seldom depends on the page that is asked for
            count = ordered_by_late(query.candidates)
            while count < last:
                count *= 2
        found = self._first_stage(self._embedding(query, texts), query, count)
        scores = None
        if found and query.words and query.rerank is not False:
            found, grids = self._with_grids(found)
            if not found:
                return []
            embeddings = np.stack([one.candidate.embedding for one in found])
            weights = [words.weight for words in query.words]
            scores = rerank_pictures(self._runtime, texts, weights, grids, embeddings, query.candidates)
        main = None if query.main_words is None else query.words.index(query.main_words)
        probabilities = self._probabilities(scores, main)
        order = self._order(len(found), scores if by_match else None, probabilities, query.threshold)
        order = _likely_first(order, probabilities)
        if query.sort != "relevance":
            matching = order
            if probabilities is not None:
                matching = [index for index in order if probabilities[index] >= LIKELY_FROM]
            by_date = in_order_of_dates(matching, lambda index: found[index].candidate.metadata, query.sort)
            order = [*by_date, *order[len(matching) :]]
        hits: list[Hit] = []
        for index in order[:last]:
            one = found[index]
            hits += hits_of(
                one.candidate,
                len(hits) + 1,
                apart=query.duplicates == "show",
                similarity=one.similarity,
                similarity_rank=index + 1,
                match=None if scores is None else scores.match_of(index),
                probability=None if probabilities is None else float(probabilities[index]),
                similar=tuple(path for candidate in one.similar for path in candidate.paths),
            )
        return hits[query.offset : last]

    def find_texts(self, query: Query, k: int = 10) -> list[TextHit]:
        """The k texts of the library that describe pictures best, best first, by the same two stages.

        Raises UsageError for a query of words, or with filters: texts are found by pictures alone; else as `search`.
        """
        if query.words or query.filters != NO_FILTERS:
            raise UsageError("texts are found by pictures alone", "Give a picture (--image), and no words or filters")
        if query.sort != "relevance":
            raise UsageError("texts have no date to sort by", "Leave --sort out")
        if k < 1:
            raise UsageError(f"{k} hits are too few", "Ask for 1 or more")
        main = next((index for index, part in enumerate(query.parts) if part.weight > 0), None)
        if query.threshold is not None and main is None:
            raise UsageError("only a picture that is looked for has a probability", "Leave the threshold out")
        if not self._has_features():
            return []
        pictures = [self._picture(part) for part in query.parts if isinstance(part, Picture)]
        vector = self._weighted([embedding for embedding, _ in pictures], query)
        by_match = self._runtime.default_order == "match" if query.rerank is None else query.rerank
        last = query.offset + k
        count = ordered_by_late(query.candidates, last) if by_match or query.threshold is not None else last
        found = self._library.nearest_texts(vector, count)
        scores = None
        if found and query.rerank is not False:
            embeddings, weights = np.stack([one for one, _ in pictures]), [part.weight for part in query.parts]
            grids, texts = [grid for _, grid in pictures], [one.text for one in found]
            scores = rerank_texts(self._runtime, grids, embeddings, weights, texts, query.candidates)
        probabilities = self._probabilities(scores, main)
        order = self._order(len(found), scores if by_match else None, probabilities, query.threshold)
        return [
            TextHit(
                text=found[index].text,
                rank=rank,
                similarity=found[index].similarity,
                similarity_rank=index + 1,
                match=None if scores is None else scores.match_of(index),
                probability=None if probabilities is None else float(probabilities[index]),
                sources=found[index].sources,
            )
            for rank, index in enumerate(_likely_first(order, probabilities)[:last], start=1)
        ][query.offset :]

    def unknown_words(self, query: Query) -> tuple[str, ...]:
        """Return the words of a query that the model was never taught: what they find is a guess."""
        return tuple(dict.fromkeys(word for part in query.words for word in self._runtime.unknown_words(part.text)))

    def picture(self, content_id: int) -> StoredPicture | None:
        """What the library knows of a picture and of its files, as `open_photo` takes it; None where it has it no more.

        Raises LibraryError.
        """
        return self._library.picture(content_id)

    def explain(self, words: str, content_id: int) -> Explanation | None:
        """Where in a picture of the library each word is looked for; None where it is not in it any more.

        Raises UsageError for words that cannot be asked, ModelMismatch, LibraryError.
        """
        text = Words(words).text
        found = self._stored(content_id) if self._has_features() else None
        if found is None:
            return None
        picture, grid = found
        size = picture.metadata.width, picture.metadata.height
        return explain_grid(self._runtime, text, grid, picture.embedding[np.newaxis], *size)

    def _has_features(self) -> bool:
        """Whether anything was ever indexed. Raises ModelMismatch where another model did it."""
        model = self._library.model()
        if model is None:
            return False
        if model.fingerprint != self._runtime.fingerprint:
            raise self._library.mismatch(self._runtime.name, self._runtime.fingerprint)
        return True

    def _probabilities(self, scores: CascadeScores | None, main: int | None) -> Floats | None:
        """The probability of each candidate with the main part, by the last stage that scored it."""
        if scores is None or main is None:
            return None
        joint = self._runtime.probability(np.where(scores.read, scores.logits[main], 0), "joint")
        late = self._runtime.probability(scores.late[main], "late")
        return None if joint is None or late is None else np.where(scores.read, joint, late)

    def _order(
        self, count: int, scores: CascadeScores | None, probabilities: Floats | None, threshold: float | None
    ) -> list[int]:
        """Return the indices of the candidates, in the order of the second stage where there is one, without those that
        are less probable than the threshold."""
        order = list(range(count)) if scores is None else scores.order.tolist()
        if probabilities is None:
            if threshold is None or not order:
                return order
            raise UsageError(
                f"the model {self._runtime.name} has no calibrated probabilities",
                "Make them with pixsearch calibrate, or leave the threshold out",
            )
        return [index for index in order if probabilities[index] >= (threshold or 0)]

    def _orders_by_match(self, query: Query) -> bool:
        if query.rerank is not None or not query.words:
            return bool(query.rerank)
        return self._runtime.default_order == "match"

    def _embedding(self, query: Query, texts: Sequence[ReadText]) -> Floats:
        """The query as one unit vector [embedding size]; its words were read before."""
        words = iter(texts)
        return self._weighted(
            [next(words).embedding if isinstance(part, Words) else self._picture(part)[0] for part in query.parts],
            query,
        )

    def _weighted(self, embeddings: Sequence[Floats], query: Query) -> Floats:
        """The sum of the parts' embeddings by their weights, L2-normalised."""
        weights = np.array([part.weight for part in query.parts], dtype=np.float32)
        total: Floats = weights @ np.stack(embeddings)
        length = np.linalg.norm(total)
        if length < 1e-6:
            raise UsageError("the parts of the query cancel each other out", "Give them other weights")
        return total / length

    def _picture(self, part: Picture) -> tuple[Floats, bytes]:
        """The unit vector [embedding size] and the grid of a picture; those of the library where it is in there."""
        content_id = part.source if isinstance(part.source, int) else None
        if not isinstance(part.source, int | bytes) and (photo := self._library.photo(part.source)) is not None:
            content_id = photo.content_id
        if content_id is not None and (stored := self._stored(content_id)) is not None:
            return stored[0].embedding, stored[1]
        if isinstance(part.source, int):
            raise PictureError(f"the library has no picture {part.source}", "It may have gone; search again")
        name = "the picture" if isinstance(part.source, bytes) else part.source
        try:
            picture = open_picture(part.source, min_edge=self._runtime.input_shape.input_size)
        except PictureError as error:
            raise PictureError(f"{name}: {error.message}", error.hint) from error
        embeddings, grids = self._runtime.encode_pictures([picture])
        if not np.isfinite(embeddings).all():
            raise PictureError(f"{name}: the model made no usable embedding of it")
        return embeddings[0], grids[0]

    def _stored(self, content_id: int) -> tuple[Candidate, bytes] | None:
        """A picture of the library, and its grid."""
        candidates, grids = self._library.candidates([content_id]), self._library.grids([content_id])
        return (candidates[0], grids[content_id]) if candidates and grids else None

    def _with_grids(self, found: list[_Found]) -> tuple[list[_Found], list[bytes]]:
        """What was found with the grid of each; without what has left the library since."""
        grids = self._library.grids([one.candidate.content_id for one in found])
        kept = [one for one in found if one.candidate.content_id in grids]
        return kept, [grids[one.candidate.content_id] for one in kept]

    def _first_stage(self, vector: Floats, query: Query, count: int) -> list[_Found]:
        """The pictures nearest to a vector that pass the filters, nearest first: `count`, if there are so many."""
        asked = count
        while True:
            ids = self._library.nearest(vector, asked, query.filters)
            # Ids that have left the library since the index was made are left out.
            candidates = self._library.candidates(ids, query.filters)
            # Not the index's own figures: it keeps 16 bits a number. And one by one: in a product of matrices the last
            # bits depend on what stands beside, so that equal embeddings might come out different.
            found = [_Found(candidate, float(np.dot(candidate.embedding, vector))) for candidate in candidates]
            found.sort(key=_nearest_first)
            if query.duplicates == "fold":
                found = self._folded(found)
            if len(found) >= count or len(ids) < asked:
                return found[:count]
            asked *= 2

    def _folded(self, found: list[_Found]) -> list[_Found]:
        """Each picture with its near-duplicates folded into it, of which it is the one with the most pixels."""
        if not found:
            return []
        embeddings = np.stack([one.candidate.embedding for one in found])
        near = embeddings @ embeddings.T >= MAY_BE_ALIKE
        np.fill_diagonal(near, False)
        grids = self._library.grids([found[index].candidate.content_id for index in np.flatnonzero(near.any(axis=1))])
        kept: dict[int, _Found] = {}
        for index, one in enumerate(found):
            grid = grids.get(one.candidate.content_id)
            for earlier in np.flatnonzero(near[index, :index]).tolist():
                other = kept.get(earlier)
                other_grid = None if other is None else grids.get(other.candidate.content_id)
                if other is None or grid is None or other_grid is None:
                    continue
                if self._runtime.likeness(grid, other_grid) >= ALIKE:
                    other.similar.append(one.candidate)
                    break
            else:
                kept[index] = one
        similarities = {one.candidate.content_id: one.similarity for one in found}
        return [_shown_by_its_best(one, similarities) for one in kept.values()]


def _likely_first(order: list[int], probabilities: Floats | None) -> list[int]:
    """The same indices, those whose probability is likely before the others: the order need not be that of the
    probability, where similarity orders or where a query has further parts."""
    if probabilities is None:
        return order
    return sorted(order, key=lambda index: not probabilities[index] >= LIKELY_FROM)


def _shipped_runtime() -> Runtime:
    # Not at the top: OpenVINO or torch, which those who bring a runtime of their own need not import.
    from pixsearch.model.checkpoints import find_checkpoint
    from pixsearch.model.runtime import PixelBertRuntime

    return PixelBertRuntime(find_checkpoint(None))


def _nearest_first(one: _Found) -> tuple[float, bytes]:
    return -one.similarity, path_bytes(one.candidate.paths[0])


def _shown_by_its_best(group: _Found, similarities: Mapping[int, float]) -> _Found:
    """Let the picture with the most pixels stand for a group, of equal ones one with a date, of those the nearest.

    A thumbnail is often nearer to the words than what it was made of. The group keeps its rank: that of its nearest.
    """

    def rank(candidate: Candidate) -> tuple[int, bool, float]:
        return *candidate.metadata.pixels_and_date, similarities[candidate.content_id]

    every = [group.candidate, *group.similar]
    best = max(every, key=rank)
    if best is group.candidate:
        return group
    return _Found(best, group.similarity, [one for one in every if one is not best])
