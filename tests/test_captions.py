"""Captions that people put next to their photos."""

from __future__ import annotations

from pathlib import Path

from pixsearch.captions import LIMIT_BYTES, captions_beside
from pixsearch.storage import FilePath

Report = tuple[str, int | None, str]


def read(photo: Path) -> tuple[list[str], list[Report]]:
    reports: list[Report] = []

    def report(file: FilePath, line: int | None, what: str) -> None:
        reports.append((file.name, line, what))

    return captions_beside(photo, lambda file: file.is_file(), report), reports


def test_both_files_are_read_and_a_caption_in_both_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffa cat\r\n\r\n on a mat \n".encode())
    (tmp_path / "a.jpg.txt").write_text("un café\na cat")

    assert read(tmp_path / "a.jpg") == (
        ["a cat", "on a mat", "un café"],
        [("a.jpg.txt", 2, "repeats an earlier caption")],
    )


def test_the_text_of_a_photo_without_a_suffix_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a cat")

    assert read(tmp_path / "a") == (["a cat"], [])


def test_a_line_that_is_not_utf8_is_reported_or_kept_where_nobody_listens(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a cat\ncaf\xe9\n")

    assert read(tmp_path / "a.jpg") == (["a cat"], [("a.txt", 2, "is not UTF-8")])
    assert captions_beside(tmp_path / "a.jpg", lambda file: file.is_file()) == ["a cat", "caf\ufffd"]


def test_of_a_large_file_the_whole_lines_at_its_beginning_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a cat\n" + "x" * LIMIT_BYTES)

    assert read(tmp_path / "a.jpg") == (["a cat"], [("a.txt", None, "is larger than 64 KiB; the rest is ignored")])


def test_what_cannot_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()

    assert captions_beside(tmp_path / "a.jpg", lambda file: file.exists()) == []
    reports: list[object] = []
    captions_beside(tmp_path / "a.jpg", lambda file: file.exists(), lambda *report: reports.append(report))
    assert reports == [(tmp_path / "a.txt", None, "cannot be read (Is a directory)")]
