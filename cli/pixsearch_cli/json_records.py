"""The records that `--json` prints and the HTTP API returns, as docs/guide.md describes them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict  # pydantic does not accept typing.TypedDict before Python 3.12

from pixsearch.library.terms import Source
from pixsearch.printable import without_passwords

if TYPE_CHECKING:
    from pixsearch import Hit, TextHit
    from pixsearch.library.records import Failure, LibraryStatus, Note
    from pixsearch.metadata import Metadata
    from pixsearch.search.explain import Explanation
    from pixsearch.search.remarks import Remarks


class MetadataRecord(TypedDict):
    """The metadata of a picture, with the fields of `pixsearch.metadata.Metadata`."""

    width: int
    height: int
    taken_at: str | None
    """The time in ISO 8601, with a zone only if the file contains one."""
    date_kind: str | None
    """The meaning of taken_at: taken, edited or guessed."""
    camera: str | None
    latitude: float | None
    longitude: float | None
    title: str | None
    caption: str | None
    keywords: list[str]
    people: list[str]
    rating: int | None
    """1 to 5 stars, or -1 for a rejected photo."""
    location: str | None
    """The location text in the metadata."""
    place: str | None
    """The town nearest to the coordinates, with its region and country."""
    writing: list[str] | None
    """The lines of text in the picture, from top to bottom; null if its text has not been read yet."""


class SaidRecord(TypedDict):
    """A word of the query that was found in the text of a photo: in its metadata, its name or its folders."""

    word: str
    """The word as it was typed."""
    source: Source
    """The source of the match."""
    text: str
    """The full text of the source."""


class HitRecord(MetadataRecord):
    """A picture that was found, as `pixsearch query --json` prints it. The fields are named as in `pixsearch.Hit`."""

    id: int
    """The id that all copies of the picture share. It is never reused."""
    path: str
    rank: int
    similarity: float | None
    """The cosine similarity of the query and picture embeddings; null if the query consists only of filters."""
    similarity_rank: int | None
    match: float | None
    """The ITM logit, or the logit from the re-rank model; null if the photo was not re-ranked."""
    match_error: str | None
    """Why the re-rank model could not read the photo, which then keeps its rank; null if there was no error."""
    probability: float | None
    """The probability that a person would say that the photo shows the query; null if the model is not calibrated."""
    score: float | None
    """The probability that the photo matches the query, based on both its pixels and its text; null if the model is
    not calibrated. Hits are sorted by it."""
    certainty: Literal["strong", "possible", "weak"] | None
    """The score as a word: strong from 0.8, possible from 0.5, otherwise weak."""
    likely: bool | None
    """True if the score is 0.5 or more."""
    says: list[SaidRecord]
    """The words of the query that were found in the photo's metadata, its name or its folders."""
    copies: list[str]
    similar: list[str]


class NegationRecord(TypedDict):
    """A part of the query that excludes something."""

    text: str
    asked: str
    """The words that are searched for instead; empty if only the other parts of the query are searched for."""
    less: list[str]
    """The words that are excluded; empty if the query is searched as typed."""


class ExplanationRecord(TypedDict):
    """The regions of a picture that show each word, as `pixsearch explain --json` prints them."""

    match: float
    probability: float | None
    words: list[str]
    """The words of the query, without articles, prepositions and similar words."""
    regions: list[list[list[float]]]
    """The brightness from 0 to 1, indexed by word, row and column. Each cell of the pixel grid has 4 x 4 values."""


def _plain(value: object) -> object:
    """Convert a path, a time or a numpy array to something that `json.dumps` can serialise.

    A path is decoded as UTF-8 in any locale, because programs read JSON. Bytes that are not UTF-8 become lone
    surrogates.

    Raises TypeError for any other value.
    """
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return os.fsencode(value).decode(errors="surrogateescape")
    from upath import UPath  # imported late: only photos in object storage need it

    if isinstance(value, UPath):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be serialised to JSON")


def json_text(record: object, separators: tuple[str, str] | None = None) -> str:
    """Return a record as ASCII JSON. A number that is not finite becomes null, because JSON cannot represent it."""
    try:
        return json.dumps(record, default=_plain, allow_nan=False, separators=separators)
    except ValueError:
        return json.dumps(_finite(record), default=_plain, separators=separators)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def hit_record(hit: Hit) -> dict[str, object]:
    """Return the `HitRecord` of a hit."""
    metadata = metadata_record(hit.metadata)
    own = {name: getattr(hit, name) for name in HitRecord.__annotations__ if name not in metadata}
    return own | metadata | {"says": [asdict(said) for said in hit.says]}


def remarks_record(remarks: Remarks | None) -> dict[str, object]:
    """Return the record of the remarks on a query, with the fields of `Remarks`."""
    return {
        "unknown_words": [] if remarks is None else remarks.unknown_words,
        "suggestions": {} if remarks is None else remarks.suggestions,
        "language": None if remarks is None else remarks.language,
        "negations": [] if remarks is None else [asdict(negation) for negation in remarks.negations],
    }


def text_hit_record(hit: TextHit) -> dict[str, object]:
    return asdict(hit) | {"likely": hit.likely}


def metadata_record(metadata: Metadata) -> dict[str, object]:
    """Return the `MetadataRecord` of metadata."""
    return {name: getattr(metadata, name) for name in MetadataRecord.__annotations__}


def explanation_record(explanation: Explanation) -> dict[str, object]:
    """Return the `ExplanationRecord` of an explanation."""
    record = {name: getattr(explanation, name) for name in ExplanationRecord.__annotations__}
    return record | {"regions": explanation.regions.astype(float).round(3)}


def status_record(status: LibraryStatus, failures: Sequence[Failure], notes: Sequence[Note] = ()) -> dict[str, object]:
    run = status.last_run
    return {
        "library": status.library,
        "model": status.model and status.model.name,
        "fingerprint": status.model and status.model.fingerprint,
        "switch": status.switch and asdict(status.switch),
        "roots": [
            {name: getattr(root, name) for name in ("path", "online", "photos", "not_read", "unread")}
            | asdict(root.rules)
            for root in status.roots
        ],
        "photos": status.photos,
        "contents": status.contents,
        "cut_short": status.cut_short,
        "texts": status.texts,
        "text_files": status.text_files,
        "failures": status.failures,
        "failed_files": [
            {"path": failure.path, "reason": failure.reason, "when": failure.when.isoformat()} for failure in failures
        ],
        "notes": [{"path": note.path, "note": note.note} for note in notes],
        "vectors": without_passwords(status.vectors or "file"),
        "bytes": status.size_bytes,
        "database_bytes": status.database_bytes,
        "vectors_bytes": status.vectors_bytes,
        "last_run": run
        and {
            "started": run.started.isoformat(),
            "finished": run.finished and run.finished.isoformat(),
            "encoded": run.encoded,
            "failed": run.failed,
        },
    }
