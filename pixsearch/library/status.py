"""Return the status of a library: its counts, its failures, and the pictures still waiting for OCR."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, distinct, false, func, literal, or_, select, union_all

from pixsearch.database.database import Database
from pixsearch.database.rows import Damage, in_ranges
from pixsearch.database.schema import CONTENTS, FAILURES, PHOTOS, ROOTS, RUNS, TEXT_FILES, TEXTS
from pixsearch.database.state import LibraryModel, state_of
from pixsearch.library.outbox import count_pending, vectors_location
from pixsearch.library.photo_rows import PHOTOS_AND_METADATA, known
from pixsearch.library.records import Failure, KnownTextFile, LibraryStatus, Note, RootStatus, RunStatus, ScanRules
from pixsearch.library.switching import switch_of
from pixsearch.paths import below, prefix_upper_bound
from pixsearch.settings import DATABASE_NAME
from pixsearch.storage import FileStamp, is_folder, is_remote, to_path

_CUT_SHORT = "the file is truncated; part of the picture is missing"
_CLOCK = len("2021-03-01T00:00:00")

_UNREAD = CONTENTS.c.writing.is_(None)
_FAILED = TEXT_FILES.c.reason.is_not(None)


def model_of(connection: Connection) -> LibraryModel | None:
    """See `Library.model`."""
    return state_of(connection).model


def text_files_of(connection: Connection) -> dict[bytes, KnownTextFile]:
    """See `Library.text_files`."""
    rows = connection.execute(
        select(TEXT_FILES.c.path, TEXT_FILES.c.size_bytes, TEXT_FILES.c.mtime_ns, TEXT_FILES.c.reason)
    )
    return {row.path: KnownTextFile(FileStamp(row.size_bytes, row.mtime_ns), row.reason is not None) for row in rows}


def failures_of(connection: Connection) -> list[Failure]:
    """See `Library.failures`."""
    rows = connection.execute(
        union_all(
            select(FAILURES.c.path, FAILURES.c.reason, FAILURES.c.failed_at_s),
            select(TEXT_FILES.c.path, TEXT_FILES.c.reason, TEXT_FILES.c.failed_at_s).where(_FAILED),
        ).order_by("path")
    )
    return [
        Failure(to_path(path), reason, datetime.fromtimestamp(failed_at_s, UTC)) for path, reason, failed_at_s in rows
    ]


def notes_of(connection: Connection) -> list[Note]:
    """See `Library.notes`."""
    rows = connection.execute(
        union_all(
            select(PHOTOS.c.path, known("note").label("note"))
            .select_from(PHOTOS_AND_METADATA)
            .where(known("note").is_not(None)),
            select(PHOTOS.c.path, literal(_CUT_SHORT))
            .select_from(PHOTOS_AND_METADATA)
            .where(CONTENTS.c.share_decoded < 1),
        ).order_by("path")
    )
    return [Note(to_path(row.path), row.note) for row in rows]


def rules_of(root: Row[*tuple[Any, ...]]) -> ScanRules:
    return ScanRules(root.hidden, root.follow_links, tuple(root.exclude), root.ocr)


def status_of(connection: Connection, database: Database) -> LibraryStatus:
    """See `Library.status`."""
    roots = connection.execute(
        select(*ROOTS.c, func.count(PHOTOS.c.id).label("photos"))
        .outerjoin(PHOTOS, PHOTOS.c.root_id == ROOTS.c.id)
        .group_by(ROOTS.c.id)
        .order_by(ROOTS.c.path)
    ).all()
    contents = connection.execute(select(func.count(CONTENTS.c.id))).scalar_one()
    cut_short = connection.execute(select(func.count(CONTENTS.c.id)).where(CONTENTS.c.share_decoded < 1)).scalar_one()
    failures = sum(
        connection.execute(count).scalar_one()
        for count in (select(func.count(FAILURES.c.id)), select(func.count(TEXT_FILES.c.id)).where(_FAILED))
    )
    texts = connection.execute(select(func.count(TEXTS.c.id))).scalar_one()
    run = connection.execute(select(RUNS).order_by(RUNS.c.id.desc()).limit(1)).one_or_none()
    unread = count_unread(connection)
    files: list[os.DirEntry[str]] = []
    with suppress(OSError):  # a library created on another machine may not have a folder here yet
        files = [entry for entry in os.scandir(database.folder) if entry.is_file()]
    sizes = {entry.name: entry.stat().st_size for entry in files}
    database_bytes = database.size_bytes(connection)
    return LibraryStatus(
        library=database.name,
        model=model_of(connection),
        switch=switch_of(connection),
        roots=tuple(
            RootStatus(
                path=to_path(root.path),
                # Checking whether remote storage is online is slow, so use the result from the last run.
                online=root.online and (is_remote(root.path) or is_folder(root.path)),
                photos=root.photos,
                rules=rules_of(root),
                not_read=root.not_read,
                unread=unread.get(root.id, 0),
            )
            for root in roots
        ),
        photos=sum(root.photos for root in roots),
        contents=contents,
        cut_short=cut_short,
        failures=failures,
        texts=texts,
        text_files=tuple(Path(os.fsdecode(path)) for path in sorted(text_files_of(connection))),
        vectors=vectors_location(connection),
        pending=count_pending(connection),
        database_bytes=database_bytes,
        vectors_bytes=sum(size for name, size in sizes.items() if name.startswith("vectors-")),
        size_bytes=sum(size for name, size in sizes.items() if name != DATABASE_NAME) + database_bytes,
        last_run=None if run is None else _run_status(run),
    )


def _run_status(run: Row[Any]) -> RunStatus:
    return RunStatus(
        started=datetime.fromtimestamp(run.started_at_s, UTC),
        finished=None if run.finished_at_s is None else datetime.fromtimestamp(run.finished_at_s, UTC),
        encoded=run.encoded,
        failed=run.failed,
    )


def unread_contents(connection: Connection, folders: Sequence[bytes] | None, damage: Damage) -> list[int]:
    """See `Library.unread`."""
    roots = connection.scalars(select(ROOTS.c.id).where(ROOTS.c.ocr, ROOTS.c.online)).all()
    if not roots:  # true for most libraries, and saves reading all photos
        return []
    statement = (
        select(PHOTOS.c.content_id, known("taken_at"), PHOTOS.c.mtime_ns)
        .select_from(PHOTOS_AND_METADATA)
        .where(_UNREAD, PHOTOS.c.root_id.in_(roots))
    )
    if folders is not None:
        statement = statement.where(or_(false(), *map(_at_or_below, folders)))
    dated: dict[int, str] = {}
    rows: list[Any] = in_ranges(connection, statement, damage)
    for content_id, taken_at, mtime_ns in rows:
        if isinstance(content_id, int):  # in a damaged row, it may have any type
            dated[content_id] = max(_date(taken_at, mtime_ns), dated.get(content_id, ""))
    return sorted(dated, key=lambda id_: (dated[id_], id_), reverse=True)


def count_unread(connection: Connection) -> dict[int, int]:
    """Return the number of contents still waiting for OCR, by root id."""
    of_roots = (
        select(PHOTOS.c.root_id, func.count(distinct(PHOTOS.c.content_id)))
        .join(CONTENTS, CONTENTS.c.id == PHOTOS.c.content_id)
        .join(ROOTS, ROOTS.c.id == PHOTOS.c.root_id)
        .where(_UNREAD, ROOTS.c.ocr)
        .group_by(PHOTOS.c.root_id)
    )
    return {row[0]: row[1] for row in connection.execute(of_roots)}


def _at_or_below(folder: bytes) -> Any:
    return PHOTOS.c.path.between(below(folder), prefix_upper_bound(folder)) | (PHOTOS.c.path == folder)


def _date(taken_at: object, mtime_ns: object) -> str:
    """Return the local time when a photo was taken, or if that is unknown, when its file was modified."""
    if isinstance(taken_at, str) and taken_at:
        return taken_at[:_CLOCK]
    try:
        assert isinstance(mtime_ns, int)
        return datetime.fromtimestamp(mtime_ns // 10**9).isoformat()
    except (AssertionError, OverflowError, OSError, ValueError):  # the row is damaged, or the year is out of range
        return ""
