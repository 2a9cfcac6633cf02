"""JSONL, or a JSON list, of objects that name a picture and its caption."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pixsearch_trainer.data.gathering import Gathering
from pixsearch_trainer.data.table import CAPTION_COLUMNS, PICTURE_COLUMNS, SPLIT_COLUMN


def gather_lines(lines: Iterable[str], into: Gathering) -> None:
    """Take JSONL, one object a line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            into.report(number, "is no JSON")
        else:
            gather_record(number, record, into)


def gather_record(where: int | str, record: object, into: Gathering) -> None:
    """Take one object: fields named as the columns of a table; a caption may also be a list of captions."""
    if not isinstance(record, dict):
        into.report(where, "is no JSON object")
        return
    picture = next((name for name in PICTURE_COLUMNS if name in record), None)
    caption = next((name for name in CAPTION_COLUMNS if name in record), None)
    if picture is None:
        into.report(where, f"names no picture (as {', '.join(PICTURE_COLUMNS)})")
    elif caption is None:
        into.report(where, f"has no caption (as {', '.join(CAPTION_COLUMNS)})")
    else:
        words = record[caption]
        into.add(where, record[picture], words if isinstance(words, list) else [words], record.get(SPLIT_COLUMN))
