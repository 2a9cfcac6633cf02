"""Files in object storage and on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixsearch.errors import UsageError
from pixsearch.storage import (
    FileStamp,
    Listings,
    RemoteEntry,
    is_file,
    is_folder,
    is_remote,
    list_folder,
    path_bytes,
    read_file,
    read_head,
    resolved_bytes,
    stamp_of,
    to_path,
)
from tests.object_storage import Bucket, ObjectStorage


@pytest.mark.parametrize(
    "name",
    [
        b"/photos/a.jpg",
        b"/photos/\xff\xfe.jpg",
        b"relative/a:b.jpg",
        b"s3://bucket/a.jpg",
        "s3://bucket/é ü#1?%20&.jpg".encode(),
        b"s3://bucket/a::b.jpg",
        b"gs://bucket/deep/er/a.jpg",
    ],
)
def test_a_path_is_what_was_written(name: bytes) -> None:
    assert path_bytes(to_path(name)) == name
    assert is_remote(name) == (b"://" in name)


def test_a_remote_path_has_the_parts_of_a_path() -> None:
    path = to_path("s3://bucket/folder/photo.jpg")

    assert (path.name, path.stem, path.suffix) == ("photo.jpg", "photo", ".jpg")
    assert (str(path.parent), str(path.with_suffix(".txt"))) == ("s3://bucket/folder", "s3://bucket/folder/photo.txt")


@pytest.mark.parametrize(
    "name", ["http://example.org/photos", "https://example.org", "nothing://a/b", "sftp://host/a", "s3://", "s3:///"]
)
def test_an_address_of_no_storage_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not a supported storage URL"):
        to_path(name)


def test_a_storage_whose_package_is_missing_is_refused_by_its_name() -> None:
    with pytest.raises(UsageError, match="oss://bucket/a requires a package that is not installed: Install ossfs"):
        to_path("oss://bucket/a")


def test_a_resolved_path_is_absolute_and_a_url_has_no_slash_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    monkeypatch.chdir(tmp_path)

    assert resolved_bytes(Path("link")) == os.fsencode(os.path.realpath(tmp_path / "folder"))
    assert resolved_bytes(to_path("s3://bucket/")) == b"s3://bucket"
    assert resolved_bytes(to_path("s3://bucket/a/b//")) == b"s3://bucket/a/b"


def test_an_object_is_read_as_a_file_is(bucket: Bucket) -> None:
    path = to_path(bucket.put("deep/é ü#1?%20&.jpg", b"0123456789"))

    assert read_file(path, 10) == read_file(path, 10, 10) == b"0123456789"
    assert read_file(path, 10, 0) == b""
    assert read_head(path, 4) == b"0123"
    assert read_head(path, 40) == b"0123456789"
    assert stamp_of(path).size_bytes == 10
    assert (is_file(path_bytes(path)), is_folder(path_bytes(path))) == (True, False)
    assert (is_file(path_bytes(path.parent)), is_folder(path_bytes(path.parent))) == (False, True)


def test_a_listing_has_the_stamps_that_the_objects_themselves_have(bucket: Bucket) -> None:
    path = to_path(bucket.put("a.jpg", b"12345"))
    bucket.put("folder/b.jpg", b"")

    with list_folder(path_bytes(path.parent)) as entries:
        found = {entry.name: entry for entry in entries}

    assert found.keys() == {b"a.jpg", b"folder"}
    listed = found[b"a.jpg"]
    assert isinstance(listed, RemoteEntry)
    assert listed.stamp == stamp_of(path) == FileStamp(5, listed.stat().st_mtime_ns)
    assert found[b"folder"].is_dir()


def test_what_a_listing_says_is_never_an_old_answer(bucket: Bucket) -> None:
    folder = bucket.url.encode()
    for data in (b"1", b"22"):
        bucket.put("a.jpg", data)
        with list_folder(folder) as entries:
            [entry] = entries
        assert entry.stat().st_size == stamp_of(to_path(f"{bucket.url}/a.jpg")).size_bytes == len(data)


def test_a_folder_s_own_placeholder_and_folders_without_a_name_are_not_listed(bucket: Bucket) -> None:
    for key in ("a/", "a/photo.jpg", "a//nowhere.jpg"):
        bucket.put(key, b"1")

    with list_folder(f"{bucket.url}/a".encode()) as entries:
        assert [entry.name for entry in entries] == [b"photo.jpg"]


def test_what_is_not_there_is_no_file(bucket: Bucket) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        read_file(to_path(f"{bucket.url}/a.jpg"), 1000)
    assert caught.value.strerror == "No such file or directory"
    with pytest.raises(FileNotFoundError):
        stamp_of(to_path("s3://there-is-no-such-bucket/a.jpg"))
    assert not is_folder(b"s3://there-is-no-such-bucket")


def test_a_storage_out_of_reach_is_an_error_of_the_system(s3: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    path = to_path("memory://photos/a.jpg")

    def no_answer(*_: object, **__: object) -> bytes:
        raise RuntimeError("nobody answers\nat all")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.cat_file", no_answer)

    with pytest.raises(OSError, match="nobody answers at all") as caught:
        read_file(path, 1000, 10)
    assert caught.value.strerror == "nobody answers at all"


def test_a_storage_whose_package_is_missing_is_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> object:
        raise ImportError("Please install gcsfs")

    monkeypatch.setattr("fsspec.filesystem", missing)

    with pytest.raises(OSError, match="a package that is not installed: Please install gcsfs"):
        read_file(to_path("gs://bucket/a.jpg"), 1000)


def test_a_folder_is_listed_once_however_many_files_are_looked_for(s3: ObjectStorage, bucket: Bucket) -> None:
    for number in range(3):
        bucket.put(f"deep/{number}.jpg", b"1" * number)
    before, there = len(s3.requests()), Listings()

    stamps = [there.stamp(to_path(f"{bucket.url}/deep/{number}.jpg")) for number in range(5)]

    assert [stamp and stamp.size_bytes for stamp in stamps] == [0, 1, 2, None, None]
    assert len(s3.requests()) == before + 1
    assert there.stamp(to_path(f"{bucket.url}/nowhere/1.jpg")) is None


def test_a_listing_tells_of_local_files_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"123")
    (tmp_path / "folder").mkdir()
    there = Listings()

    assert there.stamp(tmp_path / "a.jpg") == stamp_of(tmp_path / "a.jpg")
    assert [there.stamp(tmp_path / name) for name in ("folder", "b.jpg", "n" * 300)] == [None, None, None]


def test_what_is_said_of_an_object_is_never_an_old_answer(bucket: Bucket) -> None:
    path = to_path(bucket.put("a.jpg", b"1"))
    with list_folder(bucket.url.encode()) as entries:
        assert len(list(entries)) == 1

    bucket.put("a.jpg", b"22")
    assert stamp_of(path).size_bytes == 2
    bucket.remove("a.jpg")
    assert not is_file(path_bytes(path))
