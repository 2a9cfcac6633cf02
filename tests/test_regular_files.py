from __future__ import annotations

import io
import os
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import pytest

from pixsearch.regular_files import (
    UnsuitableFile,
    open_below,
    open_regular,
    path_of,
    read_member,
    read_regular,
    read_stream,
    require_regular_files,
)
from tests.unsuitable_files import UNSUITABLE, in_time


@pytest.mark.parametrize("kind", ["pipe", "endless", "socket"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    UNSUITABLE[kind](tmp_path / "file")

    with in_time(), pytest.raises(UnsuitableFile, match="not a regular file") as caught:
        open_regular(tmp_path / "file")

    assert caught.value.filename == tmp_path / "file"


def test_a_file_of_more_bytes_than_its_kind_has_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(1025))

    with pytest.raises(UnsuitableFile, match="larger than 1 KiB"):
        read_regular(file, 1024)
    assert read_regular(file, 1025) == bytes(1025)


def test_a_file_that_says_that_it_is_empty_is_read_to_its_end_or_the_limit() -> None:
    file = Path("/proc/self/status")
    if not file.exists():
        pytest.skip("this system has no /proc")

    assert read_regular(file, 1 << 20).startswith(b"Name:")
    with pytest.raises(UnsuitableFile, match="larger than"):
        read_regular(file, 10)


def test_a_stream_is_read_to_its_end_or_the_limit() -> None:
    with Path("/dev/zero").open("rb") as endless, in_time(), pytest.raises(UnsuitableFile, match="larger than 1 KiB"):
        read_stream(endless, 1024, "stdin")
    assert read_stream(io.BytesIO(b"0123"), 4, "stdin") == b"0123"


def test_a_folder_and_what_is_not_there_are_what_they_are_everywhere(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")


def test_a_pipe_that_takes_the_place_of_a_file_after_it_was_looked_at_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_bytes(b"content")
    os.mkfifo(pipe)
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda *_, **__: stat(file))

    with in_time(), pytest.raises(UnsuitableFile, match="not a regular file"):
        open_regular(pipe)


def test_a_file_is_opened_below_a_folder_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "c.jpg"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"content")

    for folder in (tmp_path, tmp_path / "a", Path("/")):
        with open_below(os.fsencode(folder), os.fsencode(file)) as opened:
            assert opened.read() == b"content"


@pytest.mark.parametrize("part", ["a", "a/b", "a/b/c.jpg"])
def test_a_link_on_the_way_below_a_folder_is_refused(tmp_path: Path, part: str) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root, elsewhere):
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "c.jpg").write_bytes(b"content")
    (root / part).rename(tmp_path / "moved")
    (root / part).symlink_to(elsewhere / part)

    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        open_below(os.fsencode(root), os.fsencode(root / "a" / "b" / "c.jpg"))


def test_a_link_to_the_folder_itself_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with open_below(os.fsencode(tmp_path / "link"), os.fsencode(tmp_path / "link" / "a.jpg")) as opened:
        assert opened.read() == b"content"


@pytest.mark.parametrize("path", [b"/other/a.jpg", b"/folder/../other/a.jpg", b"/folder//a.jpg", b"/folder-2/a.jpg"])
def test_nothing_outside_the_folder_is_opened(path: bytes) -> None:
    with pytest.raises(FileNotFoundError):
        open_below(b"/folder", path)


def test_an_open_file_has_a_path_whatever_has_its_name_by_now(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"first")

    with open_regular(tmp_path / "file") as file:
        (tmp_path / "file").unlink()
        (tmp_path / "file").write_bytes(b"second")

        assert Path(path_of(file)).read_bytes() == b"first"


def test_a_member_that_is_unpacked_to_more_than_its_kind_has_is_not_unpacked(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "bomb.zip", "w", ZIP_DEFLATED) as archive:
        archive.writestr("member", bytes(100_000))

    with ZipFile(tmp_path / "bomb.zip") as archive, pytest.raises(BadZipFile, match="member is larger than 97 KiB"):
        read_member(archive, "member", 99_999)


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_a_folder_with_an_unsuitable_file_is_refused_before_a_library_reads_it(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    require_regular_files(str(tmp_path))
    UNSUITABLE[kind](tmp_path / "model.safetensors")

    with in_time(), pytest.raises(UnsuitableFile):
        require_regular_files(str(tmp_path))
