"""What a search finds."""

from __future__ import annotations

from dataclasses import dataclass

from pixsearch.library.records import Metadata, TextSource
from pixsearch.storage import FilePath


@dataclass(frozen=True, slots=True)
class Hit:
    """A picture that was found. Copies of one picture are one hit."""

    id: int
    """The picture's in its library: shared by its copies, and never given to another."""
    path: FilePath
    rank: int
    """From 1, in the order of the answer."""
    similarity: float
    """Cosine of the query's embedding and the picture's; where it stands for near-duplicates, that of the nearest."""
    similarity_rank: int
    """From 1, in the order of the first stage."""
    match: float | None
    """ITM logit of the words and the picture; None where it was not computed."""
    probability: float | None
    """The match as a calibrated probability; None where the model has no calibration."""
    metadata: Metadata
    copies: tuple[FilePath, ...]
    """Further photos with the very same content."""
    similar: tuple[FilePath, ...]
    """Further photos that look the same: scaled, compressed or retouched copies, pictures of a burst."""


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


def percent(probability: float) -> str:
    """A probability in two digits, as people read it."""
    return f"{probability:.0%}" if probability >= 0.0995 else f"{probability:.1%}"
