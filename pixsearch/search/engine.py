"""The two stages: FAISS finds the nearest photos, Pixel-BERT reads the words and each photo's pixels together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixsearch.errors import ModelMismatch, PictureError, UsageError
from pixsearch.library.library import Library
from pixsearch.library.records import Candidate, Metadata
from pixsearch.pictures import open_picture
from pixsearch.search.query import Picture, Query, Words

Floats = NDArray[np.float32]


class Runtime(Protocol):
    """What the engine needs of a model; `pixsearch.model.runtime.PixelBertRuntime` is one."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def input_size(self) -> int: ...

    @property
    def default_order(self) -> Literal["match", "similarity"]: ...

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """[n, embedding size], L2-normalised."""

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[Floats, list[bytes]]:
        """Embeddings [n, embedding size], L2-normalised, and pixel grids."""

    def match(self, text: str, grids: Sequence[bytes], embeddings: Floats) -> Floats:
        """The ITM logit of each picture [n]."""

    def probability(self, logits: Floats) -> Floats | None:
        """Calibrated match probabilities [n]; None where the model has no calibration."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A picture that was found. Copies of one picture are one hit."""

    path: Path
    rank: int
    """From 1, in the order of the answer."""
    similarity: float
    """Cosine of the query's embedding and the picture's."""
    similarity_rank: int
    """From 1, in the order of the first stage."""
    match: float | None
    """ITM logit of the words and the picture; None where it was not computed."""
    probability: float | None
    """The match as a calibrated probability; None where the model has no calibration."""
    metadata: Metadata
    copies: tuple[Path, ...]
    """Further photos with the very same content."""


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
        """The k best pictures, best first; fewer where the library holds fewer.

        The order is the same on every run: equal matches by similarity, equal similarities by path. Raises UsageError,
        ModelMismatch, PictureError for a picture in the query that cannot be read, LibraryError.
        """
        if isinstance(query, str):
            query = Query((Words(query),))
        if k < 1:
            raise UsageError(f"{k} hits are too few", "Ask for 1 or more")
        model = self._library.model()
        if model is None:
            return []
        if model.fingerprint != self._runtime.fingerprint:
            raise ModelMismatch(
                f"the library {self._library.folder} was indexed by the model {model.name} ({model.fingerprint[:8]}), "
                f"not by {self._runtime.name} ({self._runtime.fingerprint[:8]})",
                "Ask with that one (--model), or index all again with this one (pixsearch index --switch-model)",
            )
        nearest = self._nearest(self._embedding(query), max(k, query.candidates))
        by_match = self._orders_by_match(query)
        if not by_match:
            nearest = nearest[:k]
        order = np.arange(len(nearest))
        matches = probabilities = None
        if nearest and query.words and query.rerank is not False:
            matches, probabilities = self._match(query.words, [candidate for candidate, _ in nearest])
            if by_match:
                order = np.argsort(-matches, kind="stable")  # equal matches stay in the order of the first stage
        hits = []
        for rank, place in enumerate(order[:k], start=1):
            candidate, similarity = nearest[place]
            hits.append(
                Hit(
                    path=candidate.paths[0],
                    rank=rank,
                    similarity=similarity,
                    similarity_rank=int(place) + 1,
                    match=None if matches is None else float(matches[place]),
                    probability=None if probabilities is None else float(probabilities[place]),
                    metadata=candidate.metadata,
                    copies=candidate.paths[1:],
                )
            )
        return hits

    def _orders_by_match(self, query: Query) -> bool:
        if query.rerank is not None or not query.words:
            return bool(query.rerank)
        return self._runtime.default_order == "match"

    def _embedding(self, query: Query) -> Floats:
        """The query as one vector [embedding size]: the weighted sum of its parts, L2-normalised."""
        weights = np.array([part.weight for part in query.parts], dtype=np.float32)
        total: Floats = weights @ np.stack([self._part_embedding(part) for part in query.parts])
        length = np.linalg.norm(total)
        if length < 1e-6:
            raise UsageError("the parts of the query cancel each other out", "Give them other weights")
        return total / length

    def _part_embedding(self, part: Words | Picture) -> Floats:
        """[embedding size], L2-normalised."""
        if isinstance(part, Words):
            embeddings = self._runtime.embed_texts([part.text])
        else:
            try:
                picture = open_picture(part.path, min_edge=self._runtime.input_size)
            except PictureError as error:
                raise PictureError(f"{part.path}: {error.message}", error.hint) from error
            embeddings, _ = self._runtime.encode_pictures([picture])
        return embeddings.reshape(-1)

    def _nearest(self, vector: Floats, count: int) -> list[tuple[Candidate, float]]:
        """The first stage: candidates and their similarities, nearest first.

        Ids that have left the library since the index was made are left out.
        """
        _, ids = self._library.vectors().search(vector[np.newaxis], count)
        candidates = self._library.candidates(ids[0].tolist())
        # Not the index's own figures: it keeps 16 bits a number. And one by one: in a product of matrices the last bits
        # depend on what stands beside, so that equal embeddings might come out different.
        similarities = [float(np.dot(candidate.embedding, vector)) for candidate in candidates]
        nearest = zip(candidates, similarities, strict=True)
        return sorted(nearest, key=lambda pair: (-pair[1], pair[0].paths[0]))

    def _match(self, words: tuple[Words, ...], candidates: list[Candidate]) -> tuple[Floats, Floats | None]:
        """The second stage, [candidates]: the weighted sum of the words' logits, and the first words' probability."""
        grids = [candidate.grid for candidate in candidates]
        embeddings = np.stack([candidate.embedding for candidate in candidates])
        logits = np.stack([self._runtime.match(part.text, grids, embeddings) for part in words])
        weights = np.array([part.weight for part in words], dtype=np.float32)
        return weights @ logits, self._runtime.probability(logits[0])


def _shipped_runtime() -> Runtime:
    # Not at the top: torch takes over a second, which those who bring a runtime of their own have paid already.
    from pixsearch.model.checkpoints import find_checkpoint
    from pixsearch.model.runtime import PixelBertRuntime

    return PixelBertRuntime(find_checkpoint(None))
