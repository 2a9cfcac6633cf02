"""A photo is shown or sent only if its file is exactly the one indexed. Otherwise the reason is given."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pixsearch import Library
from pixsearch.errors import PictureError
from pixsearch.library.photo_files import open_first, open_photo
from pixsearch.library.records import StoredPicture
from pixsearch_indexer import IndexOptions, index_folders
from tests.colour_runtime import ColourRuntime
from tests.database import SQLITE_ONLY
from tests.loading import load_in_this_process
from tests.photos import make_photo, picture_bytes
from tests.unsuitable_files import UNSUITABLE, in_time

pytestmark = SQLITE_ONLY


def indexed_at(
    library: Library, runtime: ColourRuntime, root: Path, *, follow_links: bool | None = None
) -> StoredPicture:
    """Index a folder, and return its only picture."""
    index_folders(
        library, runtime, [root], options=IndexOptions(follow_links=follow_links), load_files=load_in_this_process
    )
    picture = library.picture(1)
    assert picture is not None
    return picture


def like(file: Path, other: Path) -> None:
    """Give a file the same modification time as a different file."""
    found = other.stat()
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.fixture
def photo(photos: Path) -> Path:
    return make_photo(photos / "2021" / "may" / "red.png", "red")


@pytest.fixture
def secret(tmp_path: Path, photo: Path) -> Path:
    """A file outside with the photo's size and time, at the same path below its own folder."""
    file = tmp_path / "outside" / "2021" / "may" / "red.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"s" * photo.stat().st_size)
    like(file, photo)
    return file


def test_a_photo_as_it_was_indexed_is_opened(
    library: Library, runtime: ColourRuntime, photos: Path, photo: Path
) -> None:
    picture = indexed_at(library, runtime, photos)

    with open_photo(picture.photos[0], picture.digest) as file:
        assert file.read() == picture_bytes("red")


@pytest.mark.parametrize("part", ["2021", "2021/may", "2021/may/red.png"])
def test_a_link_in_the_place_of_a_photo_or_its_folder_is_not_followed(
    library: Library, runtime: ColourRuntime, photos: Path, secret: Path, tmp_path: Path, part: str
) -> None:
    picture = indexed_at(library, runtime, photos)
    (photos / part).rename(tmp_path / "moved")
    (photos / part).symlink_to(tmp_path / "outside" / part)

    with pytest.raises(PictureError, match=r"a link has replaced|no longer exists"):
        open_photo(picture.photos[0], picture.digest)


def test_not_even_the_same_photo_is_reached_by_a_link_that_came_later(
    library: Library, runtime: ColourRuntime, photos: Path, photo: Path, tmp_path: Path
) -> None:
    picture = indexed_at(library, runtime, photos)
    photo.rename(tmp_path / "moved.png")
    photo.symlink_to(tmp_path / "moved.png")

    with pytest.raises(PictureError, match="a link has replaced"):
        open_photo(picture.photos[0], picture.digest)


def test_links_are_followed_where_the_folders_links_are(
    library: Library, runtime: ColourRuntime, photos: Path, tmp_path: Path
) -> None:
    make_photo(tmp_path / "outside" / "red.png", "red")
    (photos / "link").symlink_to(tmp_path / "outside")
    picture = indexed_at(library, runtime, photos, follow_links=True)

    with open_photo(picture.photos[0], picture.digest) as file:
        assert file.read() == picture_bytes("red")


@pytest.mark.parametrize("follow_links", [False, True])
def test_a_file_as_large_and_as_old_is_not_the_one_that_was_indexed(
    library: Library, runtime: ColourRuntime, photos: Path, photo: Path, secret: Path, follow_links: bool
) -> None:
    picture = indexed_at(library, runtime, photos, follow_links=follow_links)
    photo.unlink()
    photo.hardlink_to(secret)

    with pytest.raises(PictureError, match="content has changed, though its size and time have not"):
        open_photo(picture.photos[0], picture.digest)


def test_a_photo_that_was_changed_or_is_gone_is_not_opened(
    library: Library, runtime: ColourRuntime, photos: Path, photo: Path
) -> None:
    picture = indexed_at(library, runtime, photos)

    photo.write_bytes(picture_bytes("blue") + b" ")
    with pytest.raises(PictureError, match="changed since it was indexed"):
        open_photo(picture.photos[0], picture.digest)
    shutil.rmtree(photos / "2021")
    with pytest.raises(PictureError, match="no longer exists"):
        open_photo(picture.photos[0], picture.digest)


@pytest.mark.parametrize("follow_links", [False, True])
def test_a_photo_that_became_a_pipe_is_not_waited_for(
    library: Library, runtime: ColourRuntime, photos: Path, photo: Path, follow_links: bool
) -> None:
    picture = indexed_at(library, runtime, photos, follow_links=follow_links)
    UNSUITABLE["pipe"](photo)

    with in_time(), pytest.raises(PictureError, match="not a regular file"):
        open_photo(picture.photos[0], picture.digest)


def test_what_is_read_is_the_file_that_was_looked_at_whatever_has_its_name_by_then(
    library: Library, runtime: ColourRuntime, photos: Path, photo: Path, secret: Path
) -> None:
    picture = indexed_at(library, runtime, photos)

    with open_photo(picture.photos[0], picture.digest) as file:
        secret.rename(photo)
        assert file.read() == picture_bytes("red")


def test_of_copies_the_first_that_is_what_was_indexed_is_opened(
    library: Library, runtime: ColourRuntime, photos: Path, photo: Path, secret: Path
) -> None:
    make_photo(photos / "copy.png", "red")
    picture = indexed_at(library, runtime, photos)
    photo.unlink()
    photo.symlink_to(secret)

    found, file = open_first(picture.photos, picture.digest)
    with file:
        assert (found.path, file.read()) == (photos / "copy.png", picture_bytes("red"))
    (photos / "copy.png").unlink()
    with pytest.raises(PictureError, match="a link has replaced"):
        open_first(picture.photos, picture.digest)
