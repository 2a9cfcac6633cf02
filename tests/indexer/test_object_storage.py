"""Test that photos in object storage go through the same pipeline as local photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from s3fs import S3FileSystem

from pixsearch import Library, Picture, Query, SearchEngine
from pixsearch.errors import PixsearchError, UsageError
from pixsearch.filters import Filters
from pixsearch.search.query import Words
from pixsearch.storage import path_bytes, to_path
from pixsearch_indexer import IndexOptions, IndexReport, index_folders, survey
from pixsearch_indexer.thumbnails import NoThumbnail, photo_thumbnail
from pixsearch_indexer.verify import verify
from tests.colour_runtime import ColourRuntime
from tests.database import SQLITE_ONLY, sql
from tests.loading import load_in_this_process
from tests.object_storage import Bucket, ObjectStorage
from tests.photos import make_photo, noise_bytes, picture_bytes

pytestmark = SQLITE_ONLY
NAMES = ["blue.png", "deep/red.png", "lime.png"]


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    """Return a bucket with three photos."""
    for name in NAMES:
        bucket.put(name, picture_bytes(Path(name).stem))
    return bucket


def index(library: Library, url: str, **options: object) -> IndexReport:
    folders = [to_path(url)]
    return index_folders(
        library,
        ColourRuntime(),
        folders,
        options=IndexOptions(**options),  # type: ignore[arg-type]
        load_files=load_in_this_process,
    )


def break_connection(patch: pytest.MonkeyPatch, method: str = "") -> None:
    """Make all calls fail, or only calls of one method."""
    call = S3FileSystem._call_s3

    async def call_or_fail(self: S3FileSystem, called: str, *arguments: Any, **named: Any) -> Any:
        if method in ("", called):
            raise RuntimeError("nobody answers")
        return await call(self, called, *arguments, **named)

    patch.setattr(S3FileSystem, "_call_s3", call_or_fail)


def paths(library: Library) -> list[str]:
    return [str(path) for candidate in library.candidates(range(1, 100)) for path in candidate.paths]


def test_photos_of_a_bucket_are_found_by_their_urls(library: Library, filled: Bucket) -> None:
    report = index_folders(library, ColourRuntime(), [to_path(filled.url)])

    assert report == IndexReport(found=3, encoded=3)
    engine = SearchEngine(library, ColourRuntime())
    [hit, *_] = engine.search(Query((Words("red"),)))
    assert hit.path == to_path(f"{filled.url}/deep/red.png")
    assert hit.path.read_bytes() == picture_bytes("red")
    below = Filters(folders=(to_path(f"{filled.url}/deep/"),))
    assert [hit.path.name for hit in engine.search(Query((Words("blue"),), filters=below))] == ["red.png"]


def test_what_is_kept_of_a_photo_is_what_is_kept_of_the_same_file_here(
    library: Library, tmp_path: Path, photos: Path, bucket: Bucket
) -> None:
    for number in range(5):
        make_photo(photos / "deep" / f"{number}.png", (number, 100, 9))
    (photos / "noise.jpg").write_bytes(noise_bytes("JPEG"))
    (photos / "cut.jpg").write_bytes(noise_bytes("JPEG")[:-900])
    bucket.put_folder(photos)
    kept = "SELECT digest, contents.size_bytes, format, width, height, share_decoded, embedding, grid FROM contents JOIN features ON content_id = contents.id JOIN grids USING (content_id) ORDER BY digest"  # noqa: E501

    index(library, bucket.url)
    with Library.create(tmp_path / "here") as here:
        index_folders(here, ColourRuntime(), [photos], load_files=load_in_this_process)
        assert sql(library, kept) == sql(here, kept)


def test_a_second_run_reads_no_object(library: Library, filled: Bucket, s3: ObjectStorage) -> None:
    filled.put("notes.txt", b"no picture")
    index(library, filled.url)
    before = len(s3.requests())

    assert index(library, f"{filled.url}/") == IndexReport(found=3, unchanged=3, not_read={".txt": 1})

    requests = s3.requests()[before:]
    assert requests
    assert not [request for request in requests if request.path.endswith((".png", ".txt"))]


def test_a_changed_object_is_encoded_again_and_a_removed_one_forgotten(library: Library, filled: Bucket) -> None:
    index(library, filled.url)
    filled.put("deep/red.png", noise_bytes("PNG"))
    filled.put("moved/lime.png", picture_bytes("lime"))
    filled.remove("lime.png")
    filled.remove("blue.png")

    report = index(library, filled.url)

    assert (report.encoded, report.reused, report.forgotten) == (1, 1, 2)
    assert sorted(paths(library)) == [f"{filled.url}/deep/red.png", f"{filled.url}/moved/lime.png"]


def test_photos_of_a_bucket_without_any_are_kept(library: Library, filled: Bucket) -> None:
    index(library, filled.url)
    for name in NAMES:
        filled.remove(name)

    report = index(library, filled.url)

    assert report == IndexReport(kept=3, offline=(to_path(filled.url),))
    assert len(paths(library)) == 3


def test_photos_of_a_storage_out_of_reach_are_kept_and_not_taken_for_failures(
    library: Library, filled: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(library, filled.url)

    break_connection(monkeypatch)
    report = index(library, filled.url)

    assert report == IndexReport(kept=3, offline=(to_path(filled.url),))
    assert not library.failures()
    assert not library.status().roots[0].online
    monkeypatch.undo()
    assert index(library, filled.url) == IndexReport(found=3, unchanged=3)


def test_a_part_of_a_bucket_out_of_reach_keeps_its_photos_too(
    library: Library, filled: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(library, filled.url)
    break_connection(monkeypatch)

    report = index(library, f"{filled.url}/deep")

    assert report == IndexReport(kept=1, offline=(to_path(f"{filled.url}/deep"),))
    assert len(paths(library)) == 3


def test_an_object_that_could_not_be_fetched_is_tried_again(
    library: Library, filled: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        break_connection(patch, "get_object")
        assert index(library, filled.url).failed == 3
    assert {failure.reason for failure in library.failures()} == {"cannot be read: nobody answers"}

    assert index(library, filled.url) == IndexReport(found=3, encoded=3)
    assert not library.failures()


def test_a_damaged_object_is_a_failure_until_it_changes(library: Library, filled: Bucket, s3: ObjectStorage) -> None:
    url = filled.put("broken.jpg", b"no picture")
    assert index(library, filled.url).failed == 1
    [failure] = library.failures()
    assert (failure.path, failure.reason) == (to_path(url), "not a picture in a supported format")
    before = len(s3.requests())

    assert index(library, filled.url).failed == 1

    assert not [request for request in s3.requests()[before:] if request.path.endswith("broken.jpg")]


def test_an_object_counts_as_a_picture_by_its_name_or_without_a_suffix_by_its_beginning(
    library: Library, bucket: Bucket, s3: ObjectStorage
) -> None:
    bucket.put("0123abcd", picture_bytes("red"))
    bucket.put("4567", b"no picture")
    bucket.put("photo.xmp", picture_bytes("blue"))
    bucket.put("empty", b"")

    report = index(library, bucket.url)

    not_read = {"": 2, ".xmp": 1}
    assert (report, paths(library)) == (
        IndexReport(found=1, encoded=1, not_read=not_read),
        [f"{bucket.url}/0123abcd"],
    )
    assert not [request for request in s3.requests() if request.path.endswith("photo.xmp") and request.method == "GET"]


def test_rules_hold_in_a_bucket_too(library: Library, filled: Bucket) -> None:
    filled.put("deep/.pixsearchignore", b"r*.png\n")
    filled.put("deep/lime.png", picture_bytes("green"))
    filled.put(".hidden/white.png", picture_bytes("white"))

    index(library, filled.url, exclude=["blue*"], follow_links=True)

    assert sorted(paths(library)) == [f"{filled.url}/deep/lime.png", f"{filled.url}/lime.png"]
    index(library, f"{filled.url}/deep")  # the rules also apply when only a subfolder is indexed
    assert f"{filled.url}/deep/red.png" not in paths(library)


def test_a_dry_run_tells_what_there_is_to_do(library: Library, filled: Bucket) -> None:
    index(library, filled.url)
    filled.put("new.png", picture_bytes("white"))
    filled.remove("lime.png")

    found = survey(library, [to_path(filled.url)], lambda rules: rules)

    assert (found.found, found.to_read, found.to_forget, found.unchanged) == (3, 1, 1, 2)


def test_a_folder_that_is_not_there_is_refused(library: Library, bucket: Bucket) -> None:
    with pytest.raises(UsageError, match="/nothing is not a folder"):
        index(library, f"{bucket.url}/nothing")
    with pytest.raises(UsageError, match="s3://no-such-bucket is not a folder"):
        index(library, "s3://no-such-bucket")


def test_a_folder_of_a_storage_out_of_reach_is_refused(
    library: Library, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_connection(monkeypatch)

    with pytest.raises(
        PixsearchError, match=r"cannot be reached: nobody answers\. Check the endpoint and the credentials"
    ):
        index(library, bucket.url)


def test_a_photo_of_a_bucket_is_searched_by_without_being_read_again(
    library: Library, filled: Bucket, s3: ObjectStorage
) -> None:
    index(library, filled.url)
    before, runtime = len(s3.requests()), ColourRuntime()

    [hit, *_] = SearchEngine(library, runtime).search(Query((Picture(to_path(f"{filled.url}/blue.png")),)))

    assert (hit.path.name, runtime.pictures_encoded) == ("blue.png", 0)
    assert "GET" not in {request.method for request in s3.requests()[before:]}


def test_verify_reads_the_objects(library: Library, filled: Bucket) -> None:
    index(library, filled.url)
    assert not verify(library, deep=True).files
    sql(library, "UPDATE contents SET digest = zeroblob(32) WHERE id = 1")

    findings = verify(library, deep=True)

    assert [path_bytes(to_path(path)) for path in findings.read_again] == [f"{filled.url}/blue.png".encode()]


def test_a_thumbnail_is_made_of_the_very_object_that_was_indexed(library: Library, filled: Bucket) -> None:
    index(library, filled.url)
    picture = library.picture(1)
    assert picture is not None
    [photo] = picture.photos

    assert isinstance(photo_thumbnail(photo, picture.digest, 8, 100), bytes)
    filled.put("blue.png", noise_bytes("PNG"))
    changed = photo_thumbnail(photo, picture.digest, 8, 100)
    filled.remove("blue.png")
    gone = photo_thumbnail(photo, picture.digest, 8, 100)

    assert isinstance(changed, NoThumbnail)
    assert "changed since it was indexed" in changed.reason
    assert gone == NoThumbnail("the file no longer exists")


def test_captions_beside_objects_are_read(library: Library, filled: Bucket) -> None:
    filled.put("deep/red.txt", b"a red square\n\nanother line\n")
    filled.put("blue.png.txt", b"a blue one\n")
    index(library, filled.url)

    captions = {photo.path.name: photo.captions for photo in library.captioned_photos()}

    assert captions == {"red.png": ("a red square", "another line"), "blue.png": ("a blue one",)}
