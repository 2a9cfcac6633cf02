from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixsearch_indexer.scan import Scan, scan
from tests.conftest import without_privileges
from tests.photos import make_photo, picture_bytes


def scanned(folder: Path) -> Scan:
    return scan(os.fsencode(folder), (), lambda count: None)


def names(seen: Scan) -> set[str]:
    return {os.fsdecode(path).removeprefix(os.fsdecode(seen.folder) + "/") for path in seen.files}


def test_pictures_are_known_by_their_name_or_their_content(photos: Path) -> None:
    for name in ("a.jpg", "B.JPG", "deep/er/c.png", "no suffix", "wrong.txt"):
        make_photo(photos / name)
    (photos / "diary.txt").write_text("dear diary")
    (photos / "broken.jpeg").write_text("dear diary")

    assert names(scanned(photos)) == {"a.jpg", "B.JPG", "deep/er/c.png", "no suffix", "wrong.txt", "broken.jpeg"}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_a_picture_of_any_format_is_found_without_a_suffix(photos: Path, format: str) -> None:
    (photos / "picture").write_bytes(picture_bytes("red", format))

    assert names(scanned(photos)) == {"picture"}


def test_hidden_and_system_files_are_skipped(photos: Path) -> None:
    for name in ("a.jpg", "._a.jpg", ".hidden/b.jpg", "@eaDir/a.jpg/thumb.jpg", "#recycle/c.jpg", "lost+found/d.jpg"):
        make_photo(photos / name)

    assert names(scanned(photos)) == {"a.jpg"}


def test_links_are_not_followed(photos: Path, tmp_path: Path) -> None:
    make_photo(photos / "sub" / "a.jpg")
    make_photo(tmp_path / "elsewhere" / "b.jpg")
    (photos / "sub" / "loop").symlink_to(photos)
    (photos / "out").symlink_to(tmp_path / "elsewhere")
    (photos / "copy.jpg").symlink_to(photos / "sub" / "a.jpg")
    (photos / "broken.jpg").symlink_to("nowhere")

    assert names(scanned(photos)) == {"sub/a.jpg"}


def test_a_folder_that_may_not_be_read_is_reported_and_the_others_are_scanned(public_folder: Path) -> None:
    for name in ("private/a.jpg", "public/b.jpg"):
        make_photo(public_folder / name)
    (public_folder / "private").chmod(0)

    with without_privileges():
        seen = scanned(public_folder)

    assert names(seen) == {"public/b.jpg"}
    private = os.fsencode(public_folder / "private")
    assert seen.unlisted == {private: "folder cannot be listed: Permission denied"}
    assert not seen.is_gone(private + b"/a.jpg")


def test_a_file_is_gone_only_if_a_folder_above_it_was_listed_without_it() -> None:
    seen = Scan(b"/photos", files={}, unlisted={b"/photos/private": "Permission denied"})

    assert seen.is_gone(b"/photos/a.jpg")
    assert seen.is_gone(b"/photos/removed/deep/a.jpg")
    assert not seen.is_gone(b"/photos/private/deep/a.jpg")
