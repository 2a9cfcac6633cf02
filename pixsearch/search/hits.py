"""The hits of a search."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pixsearch.errors import PictureError
from pixsearch.library.records import Candidate, TextSource
from pixsearch.library.terms import Source
from pixsearch.metadata import Metadata
from pixsearch.storage import FilePath, may_exist

LIKELY_FROM = 0.5
"""The least score of a likely hit: more people than not would say that the photo is what the query asks for."""

STRONG_FROM = 0.8

Certainty: TypeAlias = Literal["strong", "possible", "weak"]

_SHOWN = 320
"""The longer edge of a photo in a notebook, in pixels."""


@dataclass(frozen=True, slots=True)
class Said:
    """A word or a date of a query that a photo's metadata, name or folders say."""

    word: str
    """The word as written in the query."""
    source: Source
    text: str
    """The text that contains the word."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A picture that was found. Copies of one picture are one hit."""

    id: int
    """The id of the picture in its library: shared by its copies, and never reused."""
    path: FilePath
    rank: int
    """The rank in the answer, from 1."""
    similarity: float | None
    """The cosine of the query's and the picture's embeddings; for a group of near-duplicates, that of the nearest. None
    for a query of filters only."""
    similarity_rank: int | None
    """The rank in the first stage, from 1; None for a query of filters only."""
    match: float | None
    """The ITM logit of the words and the picture, or the score of a re-rank model (`PairReader.logits`); None if the
    pair was not read."""
    probability: float | None
    """The probability that a person would say that the photo shows what the query describes: by the match, or by the
    late interaction score if there is no match. None if the model is not calibrated, the second stage was skipped or is
    a re-rank model, or the query has nothing but names."""
    score: float | None
    """The probability that the photo is what the query asks for, by what it shows and what it says. None as for
    `probability`, but a query of names has a score."""
    says: tuple[Said, ...]
    """The words of the query that the photo's metadata, name or folders say, or those of a copy or near-duplicate that
    is folded into it."""
    metadata: Metadata
    copies: tuple[FilePath, ...]
    """Other photos with identical content."""
    similar: tuple[FilePath, ...]
    """Other photos that look the same: scaled, compressed or retouched copies, and pictures of a burst."""
    match_error: str | None = None
    """The reason why a re-rank model could not read the picture, which then keeps its rank; None if it could."""

    @property
    def likely(self) -> bool | None:
        """True if the score is 0.5 or more; None if there is no score."""
        return is_likely(self.score)

    @property
    def certainty(self) -> Certainty | None:
        """The score as a word: strong from 0.8, possible from 0.5, weak below; None if there is no score."""
        if self.score is None:
            return None
        return "strong" if self.score >= STRONG_FROM else "possible" if self.score >= LIKELY_FROM else "weak"

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the photo with its path and score below."""
        from pixsearch.pictures import data_url, open_picture  # only a notebook needs these

        figures = f"{self.rank}. {html.escape(str(self.path))}"
        if self.score is not None:
            figures += f", {percent(self.score)}"
        try:
            picture = open_picture(self.path, _SHOWN)
        except PictureError as error:
            return f"<p>{figures}</p><p>{html.escape(str(error))}</p>"
        picture.thumbnail((_SHOWN, _SHOWN))
        return f'<p><img src="{data_url(picture)}"></p><p>{figures}</p>'


@dataclass(frozen=True, slots=True)
class TextHit:
    """A text that was found by a picture; its scores are those of `Hit`."""

    text: str
    rank: int
    similarity: float
    similarity_rank: int
    match: float | None
    probability: float | None
    """The probability of the first picture with a positive weight and the text."""
    sources: tuple[TextSource, ...]
    """All files that contain the text."""

    @property
    def likely(self) -> bool | None:
        """True if the probability is 0.5 or more; None if there is no probability."""
        return is_likely(self.probability)


@dataclass(frozen=True, slots=True)
class Figures:
    """The results of the stages for a picture; see `Hit` for the fields."""

    similarity: float | None = None
    similarity_rank: int | None = None
    match: float | None = None
    match_error: str | None = None
    probability: float | None = None
    score: float | None = None
    says: tuple[Said, ...] = ()
    says_by_photo: Mapping[FilePath, tuple[Said, ...]] = field(default_factory=dict)
    similar: tuple[FilePath, ...] = ()


def hits_of(candidate: Candidate, rank: int, figures: Figures, *, apart: bool) -> list[Hit]:
    """Return a picture as hits, ranked from `rank`: one hit with its copies, or one for each photo if `apart`."""
    candidates = _with_files_in_front(candidate)
    shown = [(one, ()) for one in candidates] if apart else [(candidates[0], candidates[0].paths[1:])]
    return [
        Hit(
            id=candidate.content_id,
            path=one.paths[0],
            rank=number,
            similarity=figures.similarity,
            similarity_rank=figures.similarity_rank,
            match=figures.match,
            match_error=figures.match_error,
            probability=figures.probability,
            score=figures.score,
            says=figures.says_by_photo.get(one.paths[0], ()) if apart else figures.says,
            metadata=one.metadata,
            copies=copies,
            similar=figures.similar,
        )
        for number, (one, copies) in enumerate(shown, start=rank)
    ]


def _with_files_in_front(candidate: Candidate) -> list[Candidate]:
    """Return a copy of the candidate for each photo that passes the filters, with that photo in front.

    If any of these photos exists, missing ones are left out: a drive was unplugged, or has another mount point.
    """
    passing = len(candidate.paths) if candidate.passing < 0 else max(candidate.passing, 1)
    there = [index for index in range(passing) if may_exist(candidate.paths[index])]
    return [candidate.shown_first(index) for index in there or range(passing)]


def is_likely(probability: float | None) -> bool | None:
    """Return whether a probability is 0.5 or more; None if there is no probability."""
    return None if probability is None else probability >= LIKELY_FROM


def percent(probability: float) -> str:
    """Return a probability as a percentage with two significant digits."""
    return f"{probability:.0%}" if probability >= 0.0995 else f"{probability:.1%}"
