"""What `--json` prints, as docs/guide.md has it. The HTTP API answers with the same."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict  # pydantic does not take that of typing before Python 3.12

from pixsearch.library.terms import Source
from pixsearch.printable import without_passwords

if TYPE_CHECKING:
    from pixsearch import Hit, TextHit
    from pixsearch.library.records import Failure, LibraryStatus, Metadata, Note
    from pixsearch.search.explain import Explanation
    from pixsearch.search.remarks import Remarks


class MetadataRecord(TypedDict):
    """What is known about a picture, by the names that `pixsearch.library.records.Metadata` has for it."""

    width: int
    height: int
    taken_at: str | None
    """In ISO 8601, with a zone only where the file names one."""
    date_kind: str | None
    """taken, edited or guessed: what taken_at is the time of."""
    camera: str | None
    latitude: float | None
    longitude: float | None
    title: str | None
    caption: str | None
    keywords: list[str]
    people: list[str]
    rating: int | None
    """From 1 to 5 stars, or -1 for a photo that was rejected."""
    location: str | None
    """Where it was taken, in the words of whoever wrote them into it."""
    place: str | None
    """The nearest town with its region and country, by its coordinates."""
    writing: list[str] | None
    """The lines of text in it, from top to bottom; null while it has not been read for them."""


class SaidRecord(TypedDict):
    """A word of the query that a photo says."""

    word: str
    """As it stands in the query."""
    source: Source
    """What says so."""
    text: str
    """What that says as a whole."""


class HitRecord(MetadataRecord):
    """A picture that was found: what `pixsearch query --json` prints, by the names that `pixsearch.Hit` has for it."""

    id: int
    """Shared by the picture's copies, never given to another."""
    path: str
    rank: int
    similarity: float | None
    """Cosine of the embeddings of query and picture; null where nothing but filters was asked for."""
    similarity_rank: int | None
    match: float | None
    """ITM logit, or that of the re-rank model; null where the pair was not read."""
    match_error: str | None
    """Why the re-rank model could not read the photo, which then keeps its place; null where it did, or need not."""
    probability: float | None
    """That a person would say that the photo shows what was asked of the pixels; null without a calibration."""
    score: float | None
    """The probability that it is what was asked, by what it shows and what it says; null without a calibration. Hits
    are in its order."""
    certainty: Literal["strong", "possible", "weak"] | None
    """The score in a word: strong from 0.8 on, possible from 0.5 on."""
    likely: bool | None
    """Whether the score is 0.5 or more."""
    says: list[SaidRecord]
    """The words of the query that its metadata, its name or its folders say."""
    copies: list[str]
    similar: list[str]


class NegationRecord(TypedDict):
    """Words of the query that say what shall not be there."""

    text: str
    asked: str
    """What is looked for in their place; empty where other parts of the query say it."""
    less: list[str]
    """What is left out; nothing where the words are asked as they stand."""


class ExplanationRecord(TypedDict):
    """Where in a picture each word is found: what `pixsearch explain --json` prints."""

    match: float
    probability: float | None
    words: list[str]
    """Without articles, prepositions and the like, which no picture shows."""
    regions: list[list[list[float]]]
    """For each word rows of how brightly a cell is lit, from 0 to 1; a cell of the pixel grid is 4 x 4 of them."""


def _plain(value: object) -> object:
    """For what `json.dumps` does not know. A path is a string, with lone surrogates for what is no UTF-8 in it.

    It is read as UTF-8 whatever the locale: JSON goes to programs.

    Raises TypeError for anything but a path, a time and an array of numpy.
    """
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return os.fsencode(value).decode(errors="surrogateescape")
    from upath import UPath  # only now: for those who have photos in object storage

    if isinstance(value, UPath):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be serialised to JSON")


def json_text(record: object, separators: tuple[str, str] | None = None) -> str:
    """Return a record as JSON, in ASCII; a number that is not finite, which JSON has not, is null."""
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
    """See `HitRecord`."""
    metadata = metadata_record(hit.metadata)
    own = {name: getattr(hit, name) for name in HitRecord.__annotations__ if name not in metadata}
    return own | metadata | {"says": [asdict(said) for said in hit.says]}


def remarks_record(remarks: Remarks | None) -> dict[str, object]:
    """What there is to say of a query beside its answer, by the names that `Remarks` has for it."""
    return {
        "unknown_words": [] if remarks is None else remarks.unknown_words,
        "suggestions": {} if remarks is None else remarks.suggestions,
        "language": None if remarks is None else remarks.language,
        "negations": [] if remarks is None else [asdict(negation) for negation in remarks.negations],
    }


def text_hit_record(hit: TextHit) -> dict[str, object]:
    return asdict(hit) | {"likely": hit.likely}


def metadata_record(metadata: Metadata) -> dict[str, object]:
    """See `MetadataRecord`."""
    return {name: getattr(metadata, name) for name in MetadataRecord.__annotations__}


def explanation_record(explanation: Explanation) -> dict[str, object]:
    """See `ExplanationRecord`."""
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
