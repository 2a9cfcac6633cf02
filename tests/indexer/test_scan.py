from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pixsearch.library.records import ScanRules
from pixsearch.picture_files import is_named_like_a_picture, starts_like_a_picture
from pixsearch_indexer.scan import Scan
from tests.conftest import without_privileges
from tests.photos import make_photo, picture_bytes
from tests.unsuitable_files import UNSUITABLE, in_time


def scan_of(folder: Path, **rules: Any) -> Scan:
    return Scan(os.fsencode(folder), os.fsencode(folder), ScanRules(**rules))


def paths_of(scan: Scan) -> list[bytes]:
    return [path for files in scan for path, *_ in files]


def names(scan: Scan) -> list[str]:
    """Return the pictures in a scan, in order and relative to its folder."""
    met = [path for path in paths_of(scan) if is_named_like_a_picture(path) or starts_like_a_picture(path)]
    return [os.fsdecode(path).removeprefix(os.fsdecode(scan.folder) + "/") for path in met]


def test_pictures_are_known_by_their_name_or_their_content(photos: Path) -> None:
    for name in ("a.jpg", "B.JPG", "deep/er/c.png", "no suffix", "wrong.txt"):
        make_photo(photos / name)
    (photos / "diary.txt").write_text("dear diary")
    (photos / "broken.jpeg").write_text("dear diary")

    assert set(names(scan_of(photos))) == {"a.jpg", "B.JPG", "deep/er/c.png", "no suffix", "wrong.txt", "broken.jpeg"}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_a_picture_of_any_format_is_found_without_a_suffix(photos: Path, format: str) -> None:
    (photos / "picture").write_bytes(picture_bytes("red", format))

    assert set(names(scan_of(photos))) == {"picture"}


def test_hidden_and_system_files_are_skipped(photos: Path) -> None:
    for name in ("a.jpg", "._a.jpg", ".hidden/b.jpg", "@eaDir/a.jpg/thumb.jpg", "#recycle/c.jpg", "lost+found/d.jpg"):
        make_photo(photos / name)

    assert set(names(scan_of(photos))) == {"a.jpg"}


def test_links_are_not_followed(photos: Path, tmp_path: Path) -> None:
    make_photo(photos / "sub" / "a.jpg")
    make_photo(tmp_path / "elsewhere" / "b.jpg")
    (photos / "sub" / "loop").symlink_to(photos)
    (photos / "out").symlink_to(tmp_path / "elsewhere")
    (photos / "copy.jpg").symlink_to(photos / "sub" / "a.jpg")
    (photos / "broken.jpg").symlink_to("nowhere")

    assert set(names(scan_of(photos))) == {"sub/a.jpg"}


def test_a_folder_that_may_not_be_read_is_reported_and_the_others_are_scanned(public_folder: Path) -> None:
    for name in ("private/a.jpg", "public/b.jpg"):
        make_photo(public_folder / name)
    (public_folder / "private").chmod(0)

    with without_privileges():
        seen = scan_of(public_folder)
        assert names(seen) == ["public/b.jpg"]
    private = os.fsencode(public_folder / "private")
    assert seen.unlisted == {private: "folder cannot be listed: Permission denied"}
    assert not seen.is_gone(private + b"/a.jpg")


def test_a_file_is_gone_only_if_a_folder_above_it_was_listed_without_it() -> None:
    seen = Scan(b"/photos", b"/photos", ScanRules(), unlisted={b"/photos/private": "Permission denied"})

    assert seen.is_gone(b"/photos/a.jpg")
    assert seen.is_gone(b"/photos/removed/deep/a.jpg")
    assert not seen.is_gone(b"/photos/private/deep/a.jpg")


def test_files_come_in_the_order_of_their_whole_paths(photos: Path) -> None:
    for name in ("a/z.jpg", "a.jpg", "a-b/c.jpg", "a0.jpg", "B.jpg", "a/b/c.jpg"):
        make_photo(photos / name)

    paths = paths_of(scan_of(photos))

    assert paths == sorted(paths)
    assert len(paths) == 6


def test_hidden_and_system_files_are_there_for_the_asking_but_no_apple_double(photos: Path) -> None:
    for name in ("a.jpg", "._a.jpg", ".hidden/b.jpg", "@eaDir/a.jpg"):
        make_photo(photos / name)

    assert names(scan_of(photos, hidden=True)) == [".hidden/b.jpg", "@eaDir/a.jpg", "a.jpg"]


def test_what_is_excluded_is_skipped_as_git_would(photos: Path) -> None:
    for name in ("keep.png", "a.png", "a.jpg", "cache/b.jpg", "deep/cache/c.jpg", "deep/top.jpg", "top.jpg"):
        make_photo(photos / name)

    assert names(scan_of(photos, exclude=("*.png", "!keep.png", "cache/", "/top.jpg"))) == [
        "a.jpg",
        "deep/top.jpg",
        "keep.png",
    ]


def test_an_ignore_file_counts_for_its_folder_and_below_and_the_deepest_decides(photos: Path) -> None:
    for name in ("a.jpg", "a.png", "deep/a.png", "deep/er/a.png", "deep/er/b.png", "other/b.png"):
        make_photo(photos / name)
    (photos / ".pixsearchignore").write_text("# none of these\n*.png\n")
    (photos / "deep" / "er" / ".pixsearchignore").write_bytes(b"!a.png\r\n")

    assert names(scan_of(photos)) == ["a.jpg", "deep/er/a.png"]
    deep = Scan(os.fsencode(photos / "deep" / "er"), os.fsencode(photos), ScanRules())
    assert names(deep) == ["a.png"]


def test_a_pattern_that_can_match_nothing_leaves_nothing_out(photos: Path) -> None:
    make_photo(photos / "a.jpg")
    (photos / ".pixsearchignore").write_text("[a.jpg\na.jpg\\\n")

    assert names(scan_of(photos)) == ["a.jpg"]


def test_followed_links_meet_each_folder_and_file_once(photos: Path, tmp_path: Path) -> None:
    make_photo(photos / "sub" / "a.jpg")
    make_photo(tmp_path / "elsewhere" / "deep" / "b.jpg", "blue")
    make_photo(tmp_path / "single.jpg", "lime")
    (photos / "sub" / "loop").symlink_to(photos)
    (photos / "1 out").symlink_to(tmp_path / "elsewhere")
    (photos / "2 inner").symlink_to(tmp_path / "elsewhere" / "deep")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere")
    (photos / "3.jpg").symlink_to(tmp_path / "single.jpg")
    (photos / "4.jpg").symlink_to(tmp_path / "single.jpg")
    (photos / "5.jpg").symlink_to("5.jpg")

    assert names(scan_of(photos, follow_links=True)) == ["1 out/deep/b.jpg", "3.jpg", "sub/a.jpg"]


def test_of_links_to_one_file_the_first_by_name_is_met_in_whatever_order_the_disk_lists_them(
    photos: Path, tmp_path: Path
) -> None:
    make_photo(tmp_path / "single.jpg")
    for number in (7, 3, 9, 1, 5, 2, 8, 4, 6):
        (photos / f"{number}.jpg").symlink_to(tmp_path / "single.jpg")

    assert names(scan_of(photos, follow_links=True)) == ["1.jpg"]


def test_two_files_and_a_loop_are_two_files(photos: Path) -> None:
    make_photo(photos / "a.jpg")
    make_photo(photos / "sub" / "b.jpg")
    (photos / "sub" / "up").symlink_to("..")

    assert names(scan_of(photos, follow_links=True)) == ["a.jpg", "sub/b.jpg"]


def test_folders_nested_deeper_than_python_can_call_are_scanned(photos: Path) -> None:
    here = os.open(photos, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    make_photo(photos / "z.jpg")

    met = names(scan_of(photos))

    subprocess.run(["rm", "-r", photos / "d"], check=True)  # pytest's own cleanup cannot do this
    assert met == ["z.jpg"]


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_a_folder_whose_patterns_cannot_be_read_is_passed_over_and_the_others_are_scanned(
    photos: Path, kind: str
) -> None:
    for name in ("a/a.jpg", "b/b.jpg"):
        make_photo(photos / name)
    UNSUITABLE[kind](photos / "a" / ".pixsearchignore")

    with in_time():
        seen = scan_of(photos)
        below = Scan(os.fsencode(photos / "a" / "deeper"), os.fsencode(photos), ScanRules())
        assert names(seen) == ["b/b.jpg"]
        assert names(below) == []

    reason = "larger than 1 MiB" if kind == "large" else "not a regular file"
    reason_text = f"folder skipped: its .pixsearchignore cannot be read: {reason}"
    assert seen.unlisted == {os.fsencode(photos / "a"): reason_text}
    assert below.unlisted == {below.folder: reason_text}


def test_a_folder_in_the_place_of_a_file_of_patterns_is_said_once_and_the_run_goes_on(photos: Path) -> None:
    for name in ("a/a.jpg", "a/deeper/c.jpg", "b/b.jpg"):
        make_photo(photos / name)
    (photos / "a" / ".pixsearchignore").mkdir()

    seen = scan_of(photos)
    below = Scan(os.fsencode(photos / "a" / "deeper"), os.fsencode(photos), ScanRules())

    assert (names(seen), names(below)) == (["b/b.jpg"], [])
    reason_text = "folder skipped: its .pixsearchignore cannot be read: Is a directory"
    assert (seen.unlisted, below.unlisted) == ({os.fsencode(photos / "a"): reason_text}, {below.folder: reason_text})
