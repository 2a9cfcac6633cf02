"""The two stages: FAISS finds the nearest photos, a model reads the words and the pixels of the best together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from pixsearch.errors import PictureError, UsageError
from pixsearch.library.filters import NO_FILTERS
from pixsearch.library.library import Library
from pixsearch.library.records import Candidate, StoredPicture
from pixsearch.model.late_scores import ReadText
from pixsearch.pictures import open_picture
from pixsearch.search.candidate_reader import CandidateReader
from pixsearch.search.cascade import CascadeScores, Indices, ordered_by_late, rerank_pictures, rerank_texts
from pixsearch.search.evidence import Evidence, LogOdds, find_saying, gather, log_odds, probability
from pixsearch.search.explain import Explanation, explain_grid
from pixsearch.search.first_stage import Found, first_stage
from pixsearch.search.hits import LIKELY_FROM, Hit, TextHit, hits_of
from pixsearch.search.listing import in_order_of_dates, listed_photos, photos_that_say
from pixsearch.search.names import Understood, understand
from pixsearch.search.negation import without_negations
from pixsearch.search.query import Picture, Query, Words, why_not_read
from pixsearch.search.remarks import Remarks, remarks_on
from pixsearch.search.runtime import Floats, Runtime


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the second stage, and what the photos say, make of the candidates of a query with words."""

    scores: CascadeScores | None
    """None where the second stage is left out."""
    evidence: Evidence
    weights: Sequence[float]
    """Of the parts."""
    main: int | None
    """The part whose probability a hit has."""
    shows: Floats | None  # [parts, items], probabilities
    log_odds: LogOdds | None  # [items], of the score
    errors: Mapping[int, str]
    """Why items could not be read, by their index."""

    def match_of(self, index: int) -> float | None:
        return None if self.scores is None else self.scores.match_of(index)

    def probability_of(self, index: int) -> float | None:
        """There is none where nothing is asked of the pixels."""
        if self.shows is None or self.main is None or self.evidence.names_only[self.main, 0]:
            return None
        return float(self.shows[self.main, index])

    def score_of(self, index: int) -> float | None:
        """Of a query that is nothing but words that are not looked for there is none."""
        return None if self.log_odds is None or self.main is None else probability(float(self.log_odds[index]))

    def is_likely(self, index: int) -> bool:
        """Whether the score is 0.5 or more, or there is none."""
        score = self.score_of(index)
        return score is None or score >= LIKELY_FROM


class SearchEngine:
    """Answers queries from a library, with the model that the library was indexed with.

    with Library.open(folder) as library:
        for hit in SearchEngine(library).search("a cat"):
            print(hit.rank, hit.path)
    """

    def __init__(self, library: Library, runtime: Runtime | None = None, reader: CandidateReader | None = None) -> None:
        """`runtime` is the checkpoint that ships unless another one is given. A `reader` is the second stage in its
        place, wherever `why_not_read` knows no reason against it."""
        self._library = library
        self._runtime = _shipped_runtime() if runtime is None else runtime
        self._reader = reader

    def search(self, query: Query | str, k: int = 10) -> list[Hit]:
        """The k best pictures, best first; fewer where the library holds fewer that pass filters and threshold.

        Without words and pictures all that pass the filters, by date.

        The order is that of the score (`Hit.score`); for a model that is better by similarity, that of similarity,
        likely hits first. Where a reader is the second stage it is that of the match, and there is no score; what it
        could not read keeps its place (`Hit.match_error`). It is the same on every run: equal scores come by match,
        equal matches and late scores by similarity, equal similarities by path.

        Words that say what shall not be there, as in "a street without people", are asked as a part that is not looked
        for, unless `Query.literal` is set; see `pixsearch.search.negation`.

        Raises UsageError, ModelMismatch, PictureError for a picture in the query that cannot be read, LibraryError.
        """
        if isinstance(query, str):
            query = Query((Words(query),))
        if k < 1:
            raise UsageError(f"{k} hits are too few", "Ask for 1 or more")
        query, _ = without_negations(query, self._library, self._runtime.words_taught)
        if query.rerank and not query.words:
            raise UsageError("a query without words cannot be re-ranked", "Pictures are compared by similarity alone")
        reader = self._reader if why_not_read(query) is None else None
        if reader is None:
            self._require_reranking(query)
        if query.threshold is not None and query.main_words is None:
            raise UsageError("only words have a probability to match", "Leave the threshold out, or add words")
        if not query.parts:
            return listed_photos(self._library, query, k)
        if query.evidence == "says":
            return photos_that_say(self._library, query, k)
        if not self._has_features():
            return []
        if query.words:
            self._runtime.prepare_for_words()
        self._library.vectors()  # before the words, while what reads them may still be loading
        wanted = self._understood(query)
        texts = self._runtime.read_texts([one.text for one in wanted]) if wanted else []
        if all(one.names_only for one in wanted):  # nothing is asked of the pixels
            reader = None
        by_match = reader is not None or self._orders_by_match(query)
        last = query.offset + k
        saying = find_saying(wanted, [words.weight for words in query.words])
        is_ordered = by_match or query.threshold is not None or query.sort != "relevance"
        is_ordered |= query.rerank is False and len(saying) > 0
        count = last
        if is_ordered:  # twice as many at a time, so that an answer seldom depends on the page that is asked for
            count = ordered_by_late(self._read_jointly(query, reader))
            while count < last:
                count *= 2
        found = first_stage(self._library, self._runtime, self._embedding(query, texts), query, count, saying)
        judged = None
        if query.words:
            found, judged = self._judged(found, query, wanted, texts, reader)
        order = _ordered(len(found), judged, by_match=by_match)
        if query.threshold is not None and order:
            if judged is None or judged.log_odds is None:
                raise self._not_calibrated()
            order = [index for index in order if probability(judged.log_odds[index]) >= query.threshold]
        if query.sort != "relevance":
            matching = [index for index in order if judged is None or judged.is_likely(index)]
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
                match=None if judged is None else judged.match_of(index),
                probability=None if judged is None else judged.probability_of(index),
                score=None if judged is None else judged.score_of(index),
                match_error=None if judged is None else judged.errors.get(index),
                says=() if judged is None else judged.evidence.said[index],
                says_by_photo={} if judged is None else judged.evidence.by_photo[index],
                similar=tuple(path for candidate in one.similar for path in candidate.paths),
            )
        return hits[query.offset : last]

    def find_texts(self, query: Query, k: int = 10) -> list[TextHit]:
        """The k texts of the library that describe pictures best, best first, by both stages of the library's model.

        Raises UsageError for a query of words, or with filters: texts are found by pictures alone; else as `search`.
        """
        if query.words or query.filters != NO_FILTERS:
            raise UsageError("texts are found by pictures alone", "Give a picture (--image), and no words or filters")
        if query.sort != "relevance":
            raise UsageError("texts have no date to sort by", "Leave --sort out")
        if k < 1:
            raise UsageError(f"{k} hits are too few", "Ask for 1 or more")
        self._require_reranking(query)
        main = next((index for index, part in enumerate(query.parts) if part.weight > 0), None)
        if query.threshold is not None and main is None:
            raise UsageError("only a picture that is looked for has a probability", "Leave the threshold out")
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
        if query.threshold is not None and order:
            if probabilities is None:
                raise self._not_calibrated()
            order = [index for index in order if probabilities[index] >= query.threshold]
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
        """Return what there is to say of a query beside its answer: how its negations are asked, which of its words
        nobody knows, and whether it is in another language than the model's. Raises as `search` does."""
        return remarks_on(query, self._library, self._runtime)

    def picture(self, content_id: int) -> StoredPicture | None:
        """What the library knows of a picture and of its files, as `open_photo` takes it; None where it has it no more.

        Raises LibraryError.
        """
        return self._library.picture(content_id)

    def explain(self, words: str, content_id: int) -> Explanation | None:
        """Where in a picture of the library each word is looked for; None where it is not in it any more.

        Raises UsageError for words that cannot be asked, ModelMismatch, WordsNotLocated, LibraryError.
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

    def _understood(self, query: Query) -> list[Understood]:
        """The words of a query, as this library is asked for them."""
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
        """What was found and is still in the library, and what the second stage makes of it."""
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
        shows = self._probabilities(scores) if reader is None else None  # nobody has calibrated the reader
        total = None if shows is None else evidence.log_odds(log_odds(shows), weights)
        return found, _Judged(scores, evidence, weights, main, shows, total, errors)

    def _by_files(
        self, reader: CandidateReader, found: Sequence[Found], wanted: Sequence[Understood], errors: dict[int, str]
    ) -> Callable[[Indices], Floats]:
        """What has a reader read candidates by their indices, as `cascade` takes it; 0 for a part that asks nothing of
        the pixels. `errors` takes why it could not."""
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
        """The probability of each part with each candidate [parts, items], by the last stage that scored the pair."""
        if scores is None:
            return None
        late = self._runtime.probability(scores.late, "late")
        if not scores.read.any():
            return late
        joint = self._runtime.probability(np.where(scores.read, scores.logits, 0), "joint")
        return None if joint is None or late is None else np.where(scores.read, joint, late)

    def _not_calibrated(self) -> UsageError:
        return UsageError(
            f"the model {self._runtime.name} has no calibrated probabilities",
            "Make them with pixsearch calibrate, or leave the threshold out",
        )

    def _require_reranking(self, query: Query) -> None:
        """Raises UsageError where the query is to be re-ranked, and the model cannot do it."""
        if query.rerank and not self._runtime.reads_pairs:
            raise UsageError(
                f"the model {self._runtime.name} does not read words and pixels together",
                "Use a Pixel-BERT checkpoint for --rerank",
            )

    def _read_jointly(self, query: Query, reader: CandidateReader | None = None) -> int:
        """How many candidates are read together with the words."""
        return query.candidates if reader is not None or self._runtime.reads_pairs else 0

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

    def _with_grids(self, found: list[Found]) -> tuple[list[Found], list[bytes]]:
        """What was found with the grid of each; without what has left the library since."""
        grids = self._library.grids([one.candidate.content_id for one in found])
        kept = [one for one in found if one.candidate.content_id in grids]
        return kept, [grids[one.candidate.content_id] for one in kept]


def _ordered(count: int, judged: _Judged | None, *, by_match: bool) -> list[int]:
    """Return the indices of the candidates, best first: by the score where there is one.

    Where similarity is to order, or nothing is calibrated, what says more of the words comes before what says less.
    """
    if judged is None:
        return list(range(count))
    order = judged.scores.order.tolist() if by_match and judged.scores is not None else list(range(count))
    if by_match and judged.log_odds is not None:
        by_score = judged.log_odds.round(4)  # the last digits depend on how many pairs go through the network together
        order.sort(key=lambda index: -by_score[index])
    else:
        added = judged.evidence.added_to_all(judged.weights).round(4)
        order.sort(key=lambda index: (not judged.is_likely(index), -added[index]))
    return order


def _shipped_runtime() -> Runtime:
    # Not at the top: OpenVINO or torch, which those who bring a runtime of their own need not import.
    from pixsearch.model.checkpoints import find_checkpoint
    from pixsearch.model.load_runtime import load_runtime

    return load_runtime(find_checkpoint(None))
