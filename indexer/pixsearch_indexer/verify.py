"""Check a library for errors and repair them if possible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixsearch.errors import PictureError
from pixsearch.library.library import Library
from pixsearch.library.photo_files import content_digest
from pixsearch.picture_files import read_picture_file
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch.storage import is_folder, stamp_of, to_path

if TYPE_CHECKING:
    from pixsearch.library.checks import Findings

_REPORT_EVERY = 100


def verify(library: Library, *, deep: bool = False, on_progress: ProgressCallback = silent) -> Findings:
    """Check all rows and vectors and, if `deep` is true, the contents of all reachable photos. Nothing is written.

    Raises LibraryDamaged or LibraryError if library.db cannot be read at all.
    """
    findings = library.check()
    if deep and not findings.database:
        _check_files(library, findings, on_progress)
    return findings


def repair(
    library: Library, *, deep: bool = False, on_progress: ProgressCallback = silent
) -> tuple[Findings, Findings]:
    """Repair a library: rebuild derived data, and drop damaged rows so that the next run reads their photos again.

    Return the problems that were found and those that remain. Raises LibraryDamaged if the SQLite file itself cannot be
    repaired.
    """
    found = verify(library, deep=deep, on_progress=on_progress)
    with library.writing() as writer:
        now = found
        if found.database:
            found.kept = writer.repair_database()
            now = library.check()
        if now.database or now.rows:
            writer.drop_damaged(now.damaged, now.encode_again)
        if found.read_again:
            writer.look_again(found.read_again)
        if now.terms:
            writer.rebuild_terms()
        if now.vectors:
            writer.rebuild_vectors(now.orphans)
    left = library.check()
    left.unreadable = found.unreadable
    return found, left


def _check_files(library: Library, findings: Findings, on_progress: ProgressCallback) -> None:
    """Compare every photo in every online root with the library."""
    done = 0
    for root in library.roots():
        if not _is_online(root):
            continue
        for file, digest in library.known_digests(root):
            done += 1
            if done % _REPORT_EVERY == 0:
                on_progress(Progress("verifying", done, findings.photos))
            path = to_path(file[0])
            try:
                stamp = stamp_of(path)
                if file[1:3] != stamp:
                    findings.stale += 1
                elif content_digest(read_picture_file(path, stamp.size_bytes)) != digest:
                    findings.files.append(f"{path} has changed since it was indexed, but its size and time have not")
                    findings.read_again.append(file[0])
            except FileNotFoundError:
                findings.stale += 1
            except (OSError, PictureError) as error:
                reason = getattr(error, "strerror", None) or error
                findings.unreadable.append(f"{path} cannot be read: {reason}")


def _is_online(root: bytes) -> bool:
    try:
        return is_folder(root)
    except OSError:  # the storage does not respond
        return False
