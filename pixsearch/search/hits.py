"""Search hits."""

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
"""The minimum score of a likely hit: most people would say that the photo matches the query."""

STRONG_FROM = 0.8

Certainty: TypeAlias = Literal["strong", "possible", "weak"]

_SHOWN = 320
"""The length of the longer edge of a photo in a notebook, in pixels."""


@dataclass(frozen=True, slots=True)
class Said:
    """A word or a date in a query that a photo's metadata, file name or folders contain."""

    word: str
    """The word as written in the query."""
    source: Source
    text: str
    """The text that contains the word."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A picture that matches a query. Copies of a picture form one hit."""

    id: int
    """The id of the picture in its library. It is shared by all copies and never reused."""
    path: FilePath
    rank: int
    """The rank among all hits, from 1."""
    similarity: float | None
    """The cosine similarity of the query and the picture, or the highest one in a group of near-duplicates. None if the
    query consists only of filters."""
    similarity_rank: int | None
    """The rank in the first stage, from 1. None if the query consists only of filters."""
    match: float | None
    """The ITM logit of the words and the picture, or the score from a re-rank model (`PairReader.logits`). None if the
    pair was not read."""
    probability: float | None
    """The probability that a person would say that the photo shows what the query describes.

    It is based on the match, or on the late interaction score if there is no match. None if the model is not
    calibrated, the second stage was skipped or replaced by a re-rank model, or the query consists only of names."""
    score: float | None
    """The probability that the photo matches the query, based on its pixels and its text. None in the same cases as
    `probability`, except that a query that consists only of names has a score."""
    says: tuple[Said, ...]
    """The words of the query that occur in the metadata, file name or folders of the photo, or of a copy or
    near-duplicate."""
    metadata: Metadata
    copies: tuple[FilePath, ...]
    """Other photos with identical content."""
    similar: tuple[FilePath, ...]
    """Other photos that look the same: scaled, compressed or retouched copies, and photos from the same burst."""
    match_error: str | None = None
    """The reason why a re-rank model could not read the picture, which then keeps its rank; None if there was no
    error."""

    @property
    def likely(self) -> bool | None:
        """True if the score is at least 0.5; None if there is no score."""
        return is_likely(self.score)

    @property
    def certainty(self) -> Certainty | None:
        """The score as a word: strong from 0.8, possible from 0.5, weak below; None if there is no score."""
        if self.score is None:
            return None
        return "strong" if self.score >= STRONG_FROM else "possible" if self.score >= LIKELY_FROM else "weak"

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the photo, with its path and score below it."""
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
    """A text that matches a picture. Its scores have the same meaning as in `Hit`."""

    text: str
    rank: int
    similarity: float
    similarity_rank: int
    match: float | None
    probability: float | None
    """The probability that the text describes the first picture with a positive weight."""
    sources: tuple[TextSource, ...]
    """All files that contain the text."""

    @property
    def likely(self) -> bool | None:
        """True if the probability is at least 0.5; None if there is no probability."""
        return is_likely(self.probability)


@dataclass(frozen=True, slots=True)
class Figures:
    """The scores of a picture. See `Hit` for the fields."""

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
    """Convert a picture to hits, ranked from `rank`: one hit with all copies, or a hit per photo if `apart` is set."""
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
    """Return a version of the candidate for each of its photos that passes the filters, with that photo first.

    If any of these photos exist, missing ones are omitted: their drive may be unplugged or mounted elsewhere.
    """
    passing = len(candidate.paths) if candidate.passing < 0 else max(candidate.passing, 1)
    there = [index for index in range(passing) if may_exist(candidate.paths[index])]
    return [candidate.shown_first(index) for index in there or range(passing)]


def is_likely(probability: float | None) -> bool | None:
    """Return whether a probability is at least 0.5, or None if there is no probability."""
    return None if probability is None else probability >= LIKELY_FROM


def percent(probability: float) -> str:
    """Format a probability as a percentage with two significant digits."""
    return f"{probability:.0%}" if probability >= 0.0995 else f"{probability:.1%}"
