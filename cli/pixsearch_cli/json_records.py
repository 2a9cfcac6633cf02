"""What `--json` prints, as docs/guide.md has it; the HTTP API answers with the same."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pixsearch.printable import without_passwords

if TYPE_CHECKING:
    from pixsearch import Hit, TextHit
    from pixsearch.library.records import Failure, LibraryStatus, Metadata, Note
    from pixsearch.search.explain import Explanation


def path_text(value: object) -> str:
    """For what `json.dumps` does not know: a path as a string, with lone surrogates for what is no UTF-8 in it.

    It is read as UTF-8 whatever the locale: JSON goes to programs.

    Raises TypeError for anything but a path.
    """
    if isinstance(value, Path):
        return os.fsencode(value).decode(errors="surrogateescape")
    from upath import UPath  # only now: for those who have photos in object storage

    if isinstance(value, UPath):
        return str(value)
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")


def json_text(record: object, separators: tuple[str, str] | None = None) -> str:
    """Return a record as JSON, in ASCII; a number that is not finite, which JSON has not, is null."""
    try:
        return json.dumps(record, default=path_text, allow_nan=False, separators=separators)
    except ValueError:
        return json.dumps(_finite(record), default=path_text, separators=separators)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def hit_record(hit: Hit) -> dict[str, object]:
    return {
        "rank": hit.rank,
        "id": hit.id,
        "path": hit.path,
        "similarity": hit.similarity,
        "similarity_rank": hit.similarity_rank,
        "match": hit.match,
        "probability": hit.probability,
        "likely": hit.likely,
        "copies": hit.copies,
        "similar": hit.similar,
        **metadata_record(hit.metadata),
    }


def text_hit_record(hit: TextHit) -> dict[str, object]:
    return asdict(hit) | {"likely": hit.likely}


def metadata_record(metadata: Metadata) -> dict[str, object]:
    return {
        "width": metadata.width,
        "height": metadata.height,
        "taken_at": None if metadata.taken_at is None else metadata.taken_at.isoformat(),
        "date_kind": metadata.date_kind,
        "camera": metadata.camera,
        "latitude": metadata.latitude,
        "longitude": metadata.longitude,
        "title": metadata.title,
        "caption": metadata.caption,
        "keywords": metadata.keywords,
        "people": metadata.people,
        "rating": metadata.rating,
        "location": metadata.location,
    }


def explanation_record(explanation: Explanation) -> dict[str, object]:
    return {
        "match": explanation.match,
        "probability": explanation.probability,
        "words": explanation.words,
        "attention": explanation.attention.tolist(),
    }


def status_record(status: LibraryStatus, failures: Sequence[Failure], notes: Sequence[Note] = ()) -> dict[str, object]:
    run = status.last_run
    return {
        "library": status.library,
        "model": status.model and status.model.name,
        "fingerprint": status.model and status.model.fingerprint,
        "switch": status.switch and asdict(status.switch),
        "roots": [
            {"path": root.path, "online": root.online, "photos": root.photos, "not_read": root.not_read}
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
