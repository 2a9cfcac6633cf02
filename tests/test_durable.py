from __future__ import annotations

import errno
import os
import re
import resource
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pixsearch.durable import append_line, rename_durably, temporary_beside, write_durably, write_output
from tests.unsuitable_files import in_time, reading


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """Cause a real fault like a full disk: the kernel lets no file grow beyond this size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old, and much longer")

    write_durably(path, b"new")

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_halfway_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with files_no_larger_than(1000), pytest.raises(OSError, match="too large"):
        write_durably(path, bytes(5000))

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_written_through_a_link_or_to_a_name_that_somebody_could_foresee(tmp_path: Path) -> None:
    precious, path = tmp_path / "precious", tmp_path / "file"
    precious.write_bytes(b"precious")
    (tmp_path / "file.tmp").symlink_to(precious)
    path.symlink_to(precious)

    write_durably(path, b"new")

    assert precious.read_bytes() == b"precious"
    assert (path.read_bytes(), path.is_symlink()) == (b"new", False)
    assert (tmp_path / "file.tmp").is_symlink()


def test_two_files_are_never_written_under_one_temporary_name(tmp_path: Path) -> None:
    with temporary_beside(tmp_path / "file") as one, temporary_beside(tmp_path / "file") as other:
        names = {Path(one.name).name, Path(other.name).name}

    assert len(names) == 2
    assert all(re.fullmatch(r"file\.[0-9a-f]{16}\.tmp", name) for name in names)
    assert not any(tmp_path.iterdir())


def test_a_name_of_255_bytes_has_room_for_a_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127 + "b")

    write_durably(path, b"new")

    assert path.read_bytes() == b"new"


def test_what_a_killed_writer_left_is_deleted_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "file"
    program = (
        "import os, sys; from pathlib import Path; from pixsearch.durable import temporary_beside\n"
        f"with temporary_beside(Path({str(path)!r})): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert len(list(tmp_path.iterdir())) == 1

    write_durably(path, b"new")

    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_somebody_is_writing_is_not_deleted(tmp_path: Path) -> None:
    with temporary_beside(tmp_path / "file") as half:
        write_durably(tmp_path / "file", b"new")

        assert Path(half.name).exists()


def test_files_that_only_look_like_temporary_ones_stay(tmp_path: Path) -> None:
    names = ["file.tmp", "file.0123.tmp", "file.0123456789abcdef.tmp.jpg", "other.0123456789abcdef.tmp"]
    for name in names:
        (tmp_path / name).write_bytes(b"precious")

    write_durably(tmp_path / "file", b"new")

    assert {path.name for path in tmp_path.iterdir()} == {*names, "file"}


def test_permissions_are_those_of_the_old_file_or_the_ones_given(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.touch()
    path.chmod(0o640)

    write_durably(path, b"new")
    write_durably(other, b"new", 0o600)

    assert [stat.S_IMODE(file.stat().st_mode) for file in (path, other)] == [0o640, 0o600]


def test_an_error_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    with files_no_larger_than(1000), pytest.raises(OSError, match="too large") as caught:
        write_durably(tmp_path / "file", bytes(5000))

    assert caught.value.filename == str(tmp_path / "file")


def test_where_only_the_folder_cannot_be_synced_the_error_says_that_the_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def fails_for_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fails_for_folders)

    with pytest.raises(OSError, match="written, but could be lost in a power failure: Input/output error"):
        write_durably(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_renamed_is_synced_before_and_its_new_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made, target = tmp_path / "made", tmp_path / "elsewhere" / "target"
    target.parent.mkdir()
    made.mkdir() if kind == "folder" else made.write_bytes(b"new")
    expected = [(made.stat().st_ino, False), (target.parent.stat().st_ino, True)]
    synced: list[tuple[int, bool]] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append((os.fstat(descriptor).st_ino, target.exists())))

    rename_durably(made, target)

    assert synced == expected
    assert not made.exists()


def test_an_output_that_is_a_link_is_written_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "to nothing yet").symlink_to("new")

    write_output(tmp_path / "link", b"1")
    write_output(tmp_path / "to nothing yet", b"2")

    assert [(tmp_path / name).read_bytes() for name in ("target", "new")] == [b"1", b"2"]
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "to nothing yet").is_symlink()


def test_an_output_that_is_a_pipe_is_written_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with reading(tmp_path / "pipe") as reader:
        write_output(tmp_path / "pipe", b"page")
        assert reader.communicate()[0] == b"page"
    assert (tmp_path / "pipe").is_fifo()


def test_an_output_to_a_folder_or_a_pipe_that_nobody_reads_on_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(IsADirectoryError):
        write_output(tmp_path, b"page")
    with reading(tmp_path / "pipe", "head", "-c", "1"), pytest.raises(BrokenPipeError) as caught:
        write_output(tmp_path / "pipe", bytes(1 << 20))
    assert caught.value.filename == str(tmp_path / "pipe")


def test_an_output_in_shared_memory_is_a_file() -> None:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        pytest.skip("this system has no /dev/shm")
    with tempfile.TemporaryDirectory(dir=folder) as own:
        write_output(Path(own) / "page.html", b"page")
        assert (Path(own) / "page.html").read_bytes() == b"page"


def test_a_line_is_added_to_no_link_and_no_pipe(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious\n")
    (tmp_path / "link").symlink_to(precious)
    os.mkfifo(tmp_path / "pipe")

    append_line(tmp_path / "log", "one")
    append_line(tmp_path / "log", "two")

    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    for name in ("link", "pipe"):
        with in_time(), pytest.raises(OSError, match=r"symbolic links|No such device|not a regular file"):
            append_line(tmp_path / name, "three")
    assert precious.read_bytes() == b"precious\n"
