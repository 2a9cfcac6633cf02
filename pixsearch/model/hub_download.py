"""Downloads a model from the Hub into the models folder, verifies its checksums and converts it.

An interrupted download can be resumed. Until a model is complete, it is kept in `hub/.unfinished` and cannot be used.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pixsearch.durable import named_in_errors, rename_durably
from pixsearch.errors import CheckpointInvalid, Interrupted, ModelError
from pixsearch.model.checkpoints import hub_folder
from pixsearch.model.hub_repository import Hub, HubFile, Repository, Unreachable, wrong_checksum
from pixsearch.model.hub_source import HubSource, unfinished_folder
from pixsearch.progress import Progress, ProgressCallback

_READ_BYTES = 1 << 20
_SPARE_BYTES = 64 << 20
"""The additional free space that the conversion and the file system need."""
_LEAST_BYTES = 64 << 10
"""If a connection breaks after fewer bytes than this, the download fails instead of reconnecting."""
_AGAIN = "Run the command again to continue"


def missing_bytes(repository: Repository) -> int:
    """Return how many bytes of a repository remain to be downloaded. Checksums are not verified."""
    folder = unfinished_folder(repository.name)
    return repository.size_bytes - sum(min(_size(folder, file), file.size_bytes) for file in repository.files)


def require_room(repository: Repository) -> None:
    """Raise ModelError if the disk has too little free space for the rest of the download and for the conversion."""
    folder = hub_folder(repository.name)
    weights = sum(file.size_bytes for file in repository.files if file.name.endswith(".safetensors"))
    needed = missing_bytes(repository) + weights + _SPARE_BYTES
    existing = next(parent for parent in folder.parents if parent.exists())
    if (free := shutil.disk_usage(existing).free) < needed:
        raise ModelError(
            f"{existing} has {free / 1e6:,.0f} MB free, but {repository.name} needs {needed / 1e6:,.0f} MB",
            "Free some space, or set XDG_DATA_HOME to a folder on a larger disk",
        )


def download(hub: Hub, repository: Repository, convert: Callable[[Path], None], on_progress: ProgressCallback) -> Path:
    """Download and convert a model, then move it to its final folder. Return that folder.

    If the download is interrupted, the next call resumes it. A model that `convert` rejects is deleted, unless the
    cause is on this machine, such as a missing package.

    Raises:
        HubError: a file did not match its checksum and was deleted.
        Unreachable: the network failed.
        CheckpointInvalid: `convert` rejected the model.
        ModelError: the folder already exists, another process is downloading the model, or a file cannot be written.
        Interrupted: the user pressed Ctrl-C.
    """
    folder = hub_folder(repository.name)
    if os.path.lexists(folder):  # it has no config: otherwise, the model would count as installed
        raise ModelError(f"{folder} already exists", f"Remove it with: pixsearch model remove {repository.name}")
    try:
        with _locked(unfinished_folder(repository.name)) as unfinished:
            sums = {}
            done_bytes = 0
            for file in repository.files:

                def report(have_bytes: int, before: int = done_bytes) -> None:
                    done, total = (round(count / 1e6) for count in (before + have_bytes, repository.size_bytes))
                    on_progress(Progress("downloading (MB)", done, total))

                sums[file.name] = _complete(hub, repository, file, unfinished, report)
                done_bytes += file.size_bytes
            _delete_others(unfinished, set(sums))
            source = HubSource(repository.name, repository.commit, repository.licence, repository.languages, sums)
            source.save(unfinished)
            on_progress(Progress("converting", 0))
            try:
                convert(unfinished)
            except CheckpointInvalid as error:
                if not _is_of_this_machine(error.__cause__):
                    shutil.rmtree(unfinished)
                raise
            rename_durably(unfinished, folder)
    except KeyboardInterrupt:
        raise Interrupted(f"{repository.name} is not complete yet", _AGAIN) from None
    except OSError as error:
        raise ModelError(
            f"{error.filename or folder} cannot be written ({error.strerror})", f"Free some space. {_AGAIN}"
        ) from error
    return folder


def _complete(hub: Hub, repository: Repository, file: HubFile, folder: Path, report: Callable[[int], None]) -> str:
    """Download a file, resuming a partial download. Return its SHA-256. Raises the same errors as `download`."""
    path, part = folder / file.name, _part(folder, file)
    if path.exists():
        path.replace(part)  # it was complete, but its checksum is verified again
    with named_in_errors(part), _open_part(part) as out:
        received = _Received(file, out)
        report(received.size_bytes)
        while received.size_bytes < file.size_bytes:
            before = received.size_bytes
            try:
                with hub.opened(repository, file, before) as (start, parts):
                    if start != before:
                        received.restart()
                    for data in parts:
                        received.add(data)
                        report(received.size_bytes)
            except Unreachable as error:
                if received.size_bytes - before < _LEAST_BYTES:
                    raise Unreachable(error.message, f"{error.hint} to continue") from error
            if received.size_bytes < min(before + _LEAST_BYTES, file.size_bytes):
                raise Unreachable(f"received only part of {file.name} from {repository.name}", _AGAIN)
        out.flush()
        os.fsync(out.fileno())
    if not received.is_right:
        part.unlink()
        raise wrong_checksum(repository, file)
    part.replace(path)
    return received.sha256


class _Received:
    """The part of a file received so far: the file on disk, its size and its running hashes."""

    def __init__(self, file: HubFile, out: BinaryIO) -> None:
        """Start with the bytes that an earlier download left in `out`."""
        self._file, self._out = file, out
        self._begin()
        while self.size_bytes <= file.size_bytes and (data := out.read(_READ_BYTES)):
            self._count(data)
        if self.size_bytes > file.size_bytes:
            self.restart()

    def _begin(self) -> None:
        self.size_bytes = 0
        self._stated, self._sha256 = self._file.hasher(), hashlib.sha256()

    def _count(self, data: bytes) -> None:
        self.size_bytes += len(data)
        self._stated.update(data)
        if self._file.algorithm != "sha256":
            self._sha256.update(data)

    def add(self, data: bytes) -> None:
        self._out.write(data)
        self._count(data)

    def restart(self) -> None:
        self._out.seek(0)
        self._out.truncate()
        self._begin()

    @property
    def is_right(self) -> bool:
        return self._stated.hexdigest() == self._file.checksum

    @property
    def sha256(self) -> str:
        return (self._stated if self._file.algorithm == "sha256" else self._sha256).hexdigest()


def _is_of_this_machine(cause: BaseException | None) -> bool:
    """Return whether a model was rejected because of a missing package or an I/O error, not because of the model."""
    return isinstance(cause, ImportError) or (isinstance(cause, OSError) and cause.errno is not None)


def _part(folder: Path, file: HubFile) -> Path:
    """Return the path of a partial file. Different versions of the file have different paths."""
    return folder / f"{file.name}.{file.checksum[:16]}.part"


def _open_part(part: Path) -> BinaryIO:
    how = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return open(part, "r+b", opener=lambda path, _: os.open(path, how, 0o666))


def _size(folder: Path, file: HubFile) -> int:
    for path in (folder / file.name, _part(folder, file)):
        if path.is_file():
            return path.stat().st_size
    return 0


def _delete_others(folder: Path, kept: set[str]) -> None:
    """Delete everything that older revisions and interrupted conversions have left behind."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in kept:
            path.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """Create a folder and lock it against other processes. If it ends up empty, remove it.

    Raises ModelError, OSError.
    """
    if folder.parent.is_symlink() or folder.is_symlink():
        raise ModelError(f"{folder} is a link", "Delete the link")
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelError(f"another process is writing to {folder}", "Wait for it to finish") from error
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK):  # not just a drive without locks
                raise
        yield folder
    finally:
        os.close(descriptor)
        for empty in (folder, folder.parent):
            with suppress(OSError):  # it is not empty, or has been moved to its final folder
                empty.rmdir()
