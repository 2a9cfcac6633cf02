"""The two-stage search engine.

The vector index finds the nearest photos. A model then reads the words together with the pixels of the best ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from pixsearch.errors import PictureError, UsageError
from pixsearch.filters import NO_FILTERS
from pixsearch.library.library import Library
from pixsearch.library.records import Candidate, StoredPicture
from pixsearch.model.late_scores import ReadText
from pixsearch.pictures import open_picture
from pixsearch.search.candidate_reader import CandidateReader
from pixsearch.search.cascade import CascadeScores, Indices, ordered_by_late, rerank_pictures, rerank_texts
from pixsearch.search.evidence import Evidence, LogOdds, find_saying, gather, log_odds, probability
from pixsearch.search.explain import Explanation, explain_grid
from pixsearch.search.first_stage import Found, first_stage
from pixsearch.search.hits import LIKELY_FROM, Figures, Hit, TextHit, hits_of
from pixsearch.search.listing import in_order_of_dates, listed_photos, photos_that_say
from pixsearch.search.names import Understood, understand
from pixsearch.search.negation import without_negations
from pixsearch.search.query import Picture, Query, Words, why_not_read
from pixsearch.search.remarks import Remarks, remarks_on
from pixsearch.search.runtime import Floats, Runtime


@dataclass(frozen=True, slots=True)
class _Judged:
    """The candidates for a text query, scored by the second stage and by their metadata."""

    scores: CascadeScores | None
    """The second-stage scores; None if the second stage was skipped."""
    evidence: Evidence
    weights: Sequence[float]
    """The weights of the text parts of the query."""
    main: int | None
    """The index of the part whose probability is reported in a hit."""
    shows: Floats | None  # [parts, items], probabilities
    log_odds: LogOdds | None  # [items], the log-odds of the score
    errors: Mapping[int, str]
    """The error messages of candidates that could not be read, keyed by their index."""

    def match_of(self, index: int) -> float | None:
        return None if self.scores is None else self.scores.match_of(index)

    def probability_of(self, index: int) -> float | None:
        """Return the probability of a candidate, or None if it has none (see `Hit.probability`)."""
        if self.shows is None or self.main is None or self.evidence.names_only[self.main, 0]:
            return None
        return float(self.shows[self.main, index])

    def score_of(self, index: int) -> float | None:
        """Return the score of a candidate, or None if it has none (see `Hit.score`)."""
        return None if self.log_odds is None or self.main is None else probability(float(self.log_odds[index]))

    def is_likely(self, index: int) -> bool:
        """Return whether a candidate has no score or a score of at least 0.5."""
        score = self.score_of(index)
        return score is None or score >= LIKELY_FROM


class SearchEngine:
    """Searches a library with the model that was used to index it.

    with Library.open(folder) as library:
        for hit in SearchEngine(library).search("a cat"):
            print(hit.rank, hit.path)
    """

    def __init__(self, library: Library, runtime: Runtime | None = None, reader: CandidateReader | None = None) -> None:
        """Create an engine for a library.

        Args:
            library: the library to search.
            runtime: the model, by default the built-in one.
            reader: a re-rank model, which replaces the second stage for all queries that it supports (see
                `why_not_read`).
        """
        self._library = library
        self._runtime = _shipped_runtime() if runtime is None else runtime
        self._reader = reader

    def search(self, query: Query | str, k: int = 10) -> list[Hit]:
        """Return the k best pictures, best first, or fewer if fewer pass the filters and the threshold.

        A query without words or pictures returns the pictures that pass the filters, sorted by date.

        Hits are sorted by score (`Hit.score`). For a model that ranks better by similarity, they are sorted by
        similarity, with likely hits first. With a re-rank model, hits are sorted by match and have no score, and a
        picture that cannot be read keeps its rank (`Hit.match_error`). The order is deterministic: ties in score are
        broken by match, ties in match and late score by similarity, and ties in similarity by path.

        Negated words, as in "a street without people", become a part with a negative weight unless `Query.literal` is
        set. See `pixsearch.search.negation`.

        Raises UsageError, ModelMismatch, LibraryError, or PictureError if a picture in the query cannot be read.
        """
        if isinstance(query, str):
            query = Query((Words(query),))
        if k < 1:
            raise UsageError(f"the number of hits must be at least 1, not {k}", "Use 1 or more")
        query, _ = without_negations(query, self._library, self._runtime.words_taught)
        if query.rerank and not query.words:
            raise UsageError(
                "a query without words cannot be re-ranked",
                "Omit --rerank: image searches are sorted by similarity",
            )
        reader = self._reader if why_not_read(query) is None else None
        if reader is None:
            self._require_reranking(query)
        if query.threshold is not None and query.main_words is None:
            raise UsageError("a threshold requires search text", "Omit the threshold, or add search text")
        if not query.parts:
            return listed_photos(self._library, query, k)
        if query.evidence == "says":
            return photos_that_say(self._library, query, k)
        if not self._has_features():
            return []
        if query.words:
            self._runtime.prepare_for_words()
        self._library.vectors()  # load the vectors while the network for the words may still be loading
        wanted = self._understood(query)
        texts = self._runtime.read_texts([one.text for one in wanted]) if wanted else []
        if all(one.names_only for one in wanted):  # there is nothing to compare with the pixels
            reader = None
        by_match = reader is not None or self._orders_by_match(query)
        last = query.offset + k
        saying = find_saying(wanted, [words.weight for words in query.words])
        is_ordered = by_match or query.threshold is not None or query.sort != "relevance"
        is_ordered |= query.rerank is False and len(saying) > 0
        count = last
        if is_ordered:  # the count only doubles, so results seldom depend on the page size
            count = ordered_by_late(self._read_jointly(query, reader))
            while count < last:
                count *= 2
        found = first_stage(self._library, self._runtime, self._embedding(query, texts), query, count, saying)
        judged = None
        if query.words:
            found, judged = self._judged(found, query, wanted, texts, reader)
        order = _ordered(len(found), judged, by_match=by_match)
        if query.threshold is not None:
            total = None if judged is None else judged.log_odds
            scores = None if total is None else [probability(float(one)) for one in total]
            order = self._at_least(order, scores, query.threshold)
        if query.sort != "relevance":
            matching = [index for index in order if judged is None or judged.is_likely(index)]
            by_date = in_order_of_dates(matching, lambda index: found[index].candidate.metadata, query.sort)
            order = [*by_date, *order[len(matching) :]]
        hits: list[Hit] = []
        for index in order[:last]:
            one = found[index]
            figures = Figures(
                one.similarity,
                similarity_rank=index + 1,
                match=None if judged is None else judged.match_of(index),
                match_error=None if judged is None else judged.errors.get(index),
                probability=None if judged is None else judged.probability_of(index),
                score=None if judged is None else judged.score_of(index),
                says=() if judged is None else judged.evidence.said[index],
                says_by_photo={} if judged is None else judged.evidence.by_photo[index],
                similar=tuple(path for candidate in one.similar for path in candidate.paths),
            )
            hits += hits_of(one.candidate, len(hits) + 1, figures, apart=query.duplicates == "show")
        return hits[query.offset : last]

    def find_texts(self, query: Query, k: int = 10) -> list[TextHit]:
        """Return the k texts in the library that best describe the pictures in the query, best first.

        Both stages are used. Raises UsageError if the query has words or filters, and otherwise the same errors as
        `search`.
        """
        if query.words or query.filters != NO_FILTERS:
            raise UsageError("texts can only be searched by image", "Use --image without search text or filters")
        if query.sort != "relevance":
            raise UsageError("texts cannot be sorted by date", "Omit --sort")
        if k < 1:
            raise UsageError(f"the number of hits must be at least 1, not {k}", "Use 1 or more")
        self._require_reranking(query)
        main = next((index for index, part in enumerate(query.parts) if part.weight > 0), None)
        if query.threshold is not None and main is None:
            raise UsageError("a threshold requires a picture with a positive weight", "Omit the threshold")
        if not self._has_features():
            return []
        pictures = [self._picture(part) for part in query.parts if isinstance(part, Picture)]
        vector = self._weighted([embedding for embedding, _ in pictures], query)
        by_match = self._runtime.default_order == "match" if query.rerank is None else query.rerank
        last = query.offset + k
        count = ordered_by_late(self._read_jointly(query), last) if by_match or query.threshold is not None else last
        found = self._library.nearest_texts(vector, count)
        scores = None
        if found and query.rerank is not False:
            embeddings, weights = np.stack([one for one, _ in pictures]), [part.weight for part in query.parts]
            grids, texts = [grid for _, grid in pictures], [one.text for one in found]
            scores = rerank_texts(self._runtime, grids, embeddings, weights, texts, self._read_jointly(query))
        by_part = self._probabilities(scores)
        probabilities = None if by_part is None or main is None else by_part[main]
        order = list(range(len(found))) if scores is None or not by_match else scores.order.tolist()
        if query.threshold is not None:
            order = self._at_least(order, probabilities, query.threshold)
        if probabilities is not None:
            order.sort(key=lambda index: not probabilities[index] >= LIKELY_FROM)
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
            for rank, index in enumerate(order[:last], start=1)
        ][query.offset :]

    def remarks(self, query: Query) -> Remarks:
        """Return remarks on a query: its negations, its unknown words, and its language if the model was not trained
        on it. Raises the same errors as `search`."""
        return remarks_on(query, self._library, self._runtime)

    def picture(self, content_id: int) -> StoredPicture | None:
        """Return a picture and its files, or None if it is no longer in the library. Raises LibraryError."""
        return self._library.picture(content_id)

    def explain(self, words: str, content_id: int) -> Explanation | None:
        """Explain where each word matches a picture. Return None if the picture is no longer in the library.

        Raises ModelMismatch, WordsNotLocated, LibraryError, or UsageError if the words are empty or invalid.
        """
        text = Words(words).text
        found = self._stored(content_id) if self._has_features() else None
        if found is None:
            return None
        picture, grid = found
        size = picture.metadata.width, picture.metadata.height
        return explain_grid(self._runtime, text, grid, picture.embedding[np.newaxis], *size)

    def _has_features(self) -> bool:
        """Return whether the library has been indexed. Raises ModelMismatch if a different model was used."""
        model = self._library.model()
        if model is None:
            return False
        if model.fingerprint != self._runtime.fingerprint:
            raise self._library.mismatch(self._runtime.name, self._runtime.fingerprint)
        return True

    def _understood(self, query: Query) -> list[Understood]:
        """Return the text parts of a query, each split into names in the library and text for the pixels."""
        if query.evidence == "shows":
            return [Understood(words.text) for words in query.words]
        taught, today = self._runtime.words_taught, date.today()
        return [understand(words.text, self._library, taught, today) for words in query.words]

    def _judged(
        self,
        found: list[Found],
        query: Query,
        wanted: Sequence[Understood],
        texts: Sequence[ReadText],
        reader: CandidateReader | None,
    ) -> tuple[list[Found], _Judged | None]:
        """Return the pictures that are still in the library, and their scores."""
        reads_pixels = query.rerank is not False
        found, grids = self._with_grids(found) if reads_pixels else (found, [])
        if not found:
            return [], None
        weights = [words.weight for words in query.words]
        evidence = gather(found, wanted, weights, list(self._library.roots()))
        main = None if query.main_words is None else query.words.index(query.main_words)

        def prefer(late: Floats) -> LogOdds:
            probabilities = self._runtime.probability(late, "late")
            return evidence.log_odds(late if probabilities is None else log_odds(probabilities), weights)

        scores, errors = None, dict[int, str]()
        if reads_pixels:
            embeddings = np.stack([one.candidate.embedding for one in found])
            candidates = self._read_jointly(query, reader)
            read = None if reader is None else self._by_files(reader, found, wanted, errors)
            scores = rerank_pictures(self._runtime, texts, weights, grids, embeddings, candidates, prefer, read)
        shows = self._probabilities(scores) if reader is None else None  # re-rank models are not calibrated
        total = None if shows is None else evidence.log_odds(log_odds(shows), weights)
        return found, _Judged(scores, evidence, weights, main, shows, total, errors)

    def _by_files(
        self, reader: CandidateReader, found: Sequence[Found], wanted: Sequence[Understood], errors: dict[int, str]
    ) -> Callable[[Indices], Floats]:
        """Return a function for the `match` argument of `cascade` that scores candidates with a re-rank model.

        Its logits are 0 for parts that have nothing to compare with the pixels. The function adds the error
        messages for pictures that cannot be read to `errors`.
        """
        asked = [part for part, one in enumerate(wanted) if not one.names_only]

        def read(indices: Indices) -> Floats:
            ids = [found[index].candidate.content_id for index in indices]
            stored = self._library.pictures(ids)
            readings = reader.read([wanted[part].text for part in asked], [stored.get(id_) for id_ in ids])
            errors.update((int(indices[place]), error) for place, error in readings.errors.items())
            logits = np.zeros((len(wanted), len(ids)), np.float32)
            logits[asked] = readings.logits
            return logits

        return read

    def _probabilities(self, scores: CascadeScores | None) -> Floats | None:
        """Return the probability of each candidate for each part [parts, items], from the last stage that scored it."""
        if scores is None:
            return None
        late = self._runtime.probability(scores.late, "late")
        if not scores.read.any():
            return late
        joint = self._runtime.probability(np.where(scores.read, scores.logits, 0), "joint")
        return None if joint is None or late is None else np.where(scores.read, joint, late)

    def _at_least(self, order: list[int], scores: Sequence[float] | Floats | None, threshold: float) -> list[int]:
        """Return the indices whose scores reach the threshold. Raises UsageError if there are no scores."""
        if order and scores is None:
            raise UsageError(
                f"the model {self._runtime.name} has no calibrated probabilities",
                "Run pixsearch calibrate, or omit the threshold",
            )
        return [index for index in order if scores is not None and scores[index] >= threshold]

    def _require_reranking(self, query: Query) -> None:
        """Raise UsageError if the query requires re-ranking and the model does not support it."""
        if query.rerank and not self._runtime.reads_pairs:
            raise UsageError(
                f"the model {self._runtime.name} does not support re-ranking",
                "Omit --rerank, or use a Pixel-BERT checkpoint",
            )

    def _read_jointly(self, query: Query, reader: CandidateReader | None = None) -> int:
        """Return the number of candidates whose pixels are read together with the words."""
        return query.candidates if reader is not None or self._runtime.reads_pairs else 0

    def _orders_by_match(self, query: Query) -> bool:
        if query.rerank is not None or not query.words:
            return bool(query.rerank)
        return self._runtime.default_order == "match"

    def _embedding(self, query: Query, texts: Sequence[ReadText]) -> Floats:
        """Return the query as a unit vector [embedding size]; `texts` are its text parts as read by the runtime."""
        words = iter(texts)
        return self._weighted(
            [next(words).embedding if isinstance(part, Words) else self._picture(part)[0] for part in query.parts],
            query,
        )

    def _weighted(self, embeddings: Sequence[Floats], query: Query) -> Floats:
        """Return the weighted sum of the parts' embeddings, L2-normalised."""
        weights = np.array([part.weight for part in query.parts], dtype=np.float32)
        total: Floats = weights @ np.stack(embeddings)
        length = np.linalg.norm(total)
        if length < 1e-6:
            raise UsageError("the parts of the query cancel each other out", "Change the weights")
        return total / length

    def _picture(self, part: Picture) -> tuple[Floats, bytes]:
        """Return the unit vector [embedding size] and the grid of a picture, from the library if possible."""
        content_id = part.source if isinstance(part.source, int) else None
        if not isinstance(part.source, int | bytes) and (photo := self._library.photo(part.source)) is not None:
            content_id = photo.content_id
        if content_id is not None and (stored := self._stored(content_id)) is not None:
            return stored[0].embedding, stored[1]
        if isinstance(part.source, int):
            raise PictureError(f"the library has no picture {part.source}", "The picture may have been deleted")
        name = "the picture" if isinstance(part.source, bytes) else part.source
        try:
            picture = open_picture(part.source, min_edge=self._runtime.input_shape.input_size)
        except PictureError as error:
            raise PictureError(f"{name}: {error.message}", error.hint) from error
        embeddings, grids = self._runtime.encode_pictures([picture])
        if not np.isfinite(embeddings).all():
            raise PictureError(f"{name}: the model could not embed it")
        return embeddings[0], grids[0]

    def _stored(self, content_id: int) -> tuple[Candidate, bytes] | None:
        """Return a picture and its grid, or None if it is no longer in the library."""
        candidates, grids = self._library.candidates([content_id]), self._library.grids([content_id])
        return (candidates[0], grids[content_id]) if candidates and grids else None

    def _with_grids(self, found: list[Found]) -> tuple[list[Found], list[bytes]]:
        """Return the pictures that are still in the library, with their grids."""
        grids = self._library.grids([one.candidate.content_id for one in found])
        kept = [one for one in found if one.candidate.content_id in grids]
        return kept, [grids[one.candidate.content_id] for one in kept]


def _ordered(count: int, judged: _Judged | None, *, by_match: bool) -> list[int]:
    """Return the indices of the candidates, sorted by score if there is one.

    If the order is by similarity, or the model is not calibrated, likely candidates come first, then candidates with
    more evidence in their metadata.
    """
    if judged is None:
        return list(range(count))
    order = judged.scores.order.tolist() if by_match and judged.scores is not None else list(range(count))
    if by_match and judged.log_odds is not None:
        by_score = judged.log_odds.round(4)  # the last digits depend on the batch size
        order.sort(key=lambda index: -by_score[index])
    else:
        added = judged.evidence.added_to_all(judged.weights).round(4)
        order.sort(key=lambda index: (not judged.is_likely(index), -added[index]))
    return order


def _shipped_runtime() -> Runtime:
    # These imports load OpenVINO or torch, which callers with their own runtime do not need.
    from pixsearch.model.checkpoints import find_checkpoint
    from pixsearch.model.load_runtime import load_runtime

    return load_runtime(find_checkpoint(None))
