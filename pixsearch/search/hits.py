"""What a search finds."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from pixsearch.errors import PictureError
from pixsearch.library.records import Candidate, Metadata, TextSource
from pixsearch.library.terms import Source
from pixsearch.storage import FilePath, may_exist

LIKELY_FROM = 0.5
"""The least score of a hit that is likely: more people than not would say that the photo is what was asked."""

STRONG_FROM = 0.8

Certainty: TypeAlias = Literal["strong", "possible", "weak"]

_SHOWN = 320
"""Pixels of the longer edge in a notebook."""


@dataclass(frozen=True, slots=True)
class Said:
    """A word of a query, or a date in it, that a photo says."""

    word: str
    """As it stands in the query."""
    source: Source
    text: str
    """What says so."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A picture that was found. Copies of one picture are one hit."""

    id: int
    """The picture's in its library: shared by its copies, and never given to another."""
    path: FilePath
    rank: int
    """From 1, in the order of the answer."""
    similarity: float | None
    """Cosine of the query's embedding and the picture's; where it stands for near-duplicates, that of the nearest. None
    where nothing but filters was asked for."""
    similarity_rank: int | None
    """From 1, in the order of the first stage; None likewise."""
    match: float | None
    """ITM logit of the words and the picture, or what a re-rank model gives in its place (`PairReader.logits`); None
    where the pair was not read."""
    probability: float | None
    """That a person would say that the photo shows what was asked of the pixels: by the match, or by the score of late
    interaction where there is no match; None where the model has no calibration, the second stage was left out or is a
    re-rank model, or nothing but names was asked for."""
    score: float | None
    """The probability that the photo is what was asked, by what it shows and what it says; None likewise, but for what
    it says alone."""
    says: tuple[Said, ...]
    """The words of the query that its metadata, its name or its folders say, or those of a copy or a near-duplicate
    that is folded into it."""
    metadata: Metadata
    copies: tuple[FilePath, ...]
    """Further photos with the very same content."""
    similar: tuple[FilePath, ...]
    """Further photos that look the same: scaled, compressed or retouched copies, pictures of a burst."""
    match_error: str | None = None
    """Why a re-rank model could not read the picture, which then keeps its place; None where it did, or need not."""

    @property
    def likely(self) -> bool | None:
        """Whether the score is 0.5 or more; None where there is none."""
        return is_likely(self.score)

    @property
    def certainty(self) -> Certainty | None:
        """The score in a word: strong from 0.8 on, possible from 0.5 on, else weak; None where there is none."""
        if self.score is None:
            return None
        return "strong" if self.score >= STRONG_FROM else "possible" if self.score >= LIKELY_FROM else "weak"

    def _repr_html_(self) -> str:
        """What a notebook shows: the photo, and its figures below."""
        from pixsearch.pictures import data_url, open_picture  # for those who look

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
    """A text that a picture found; the figures are those of `Hit`."""

    text: str
    rank: int
    similarity: float
    similarity_rank: int
    match: float | None
    probability: float | None
    """Of the first picture that is looked for, and the text."""
    sources: tuple[TextSource, ...]
    """Everywhere it stands."""

    @property
    def likely(self) -> bool | None:
        """Whether the probability is 0.5 or more; None where there is none."""
        return is_likely(self.probability)


def hits_of(
    candidate: Candidate,
    rank: int,
    *,
    apart: bool,
    similarity: float | None = None,
    similarity_rank: int | None = None,
    match: float | None = None,
    match_error: str | None = None,
    probability: float | None = None,
    score: float | None = None,
    says: tuple[Said, ...] = (),
    says_by_photo: Mapping[FilePath, tuple[Said, ...]] = MappingProxyType({}),
    similar: tuple[FilePath, ...] = (),
) -> list[Hit]:
    """Return a picture as hits from a rank on: one with its copies, or each of its photos `apart`."""
    candidates = _with_files_in_front(candidate)
    shown = [(one, ()) for one in candidates] if apart else [(candidates[0], candidates[0].paths[1:])]
    return [
        Hit(
            id=candidate.content_id,
            path=one.paths[0],
            rank=number,
            similarity=similarity,
            similarity_rank=similarity_rank,
            match=match,
            match_error=match_error,
            probability=probability,
            score=score,
            says=says_by_photo.get(one.paths[0], ()) if apart else says,
            metadata=one.metadata,
            copies=copies,
            similar=similar,
        )
        for number, (one, copies) in enumerate(shown, start=rank)
    ]


def _with_files_in_front(candidate: Candidate) -> list[Candidate]:
    """Return a copy of the candidate for each photo that passes, with that photo in front; existing photos first.

    If any of them exists, missing photos are left out: a drive was unplugged, or has another mount point.
    """
    passing = len(candidate.paths) if candidate.passing < 0 else max(candidate.passing, 1)
    there = [index for index in range(passing) if may_exist(candidate.paths[index])]
    return [candidate.shown_first(index) for index in there or range(passing)]


def is_likely(probability: float | None) -> bool | None:
    """Return whether a probability is 0.5 or more; None for None."""
    return None if probability is None else probability >= LIKELY_FROM


def percent(probability: float) -> str:
    """A probability in two digits, as people read it."""
    return f"{probability:.0%}" if probability >= 0.0995 else f"{probability:.1%}"
