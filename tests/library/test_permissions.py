from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pixsearch import Library
from pixsearch.errors import LibraryError
from tests.database import SQLITE_ONLY


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}


@SQLITE_ONLY
def test_a_new_library_is_its_owners_alone(indexed: Library) -> None:
    found = modes(indexed.folder)

    assert found.pop(indexed.folder.name) == 0o700
    assert len(found) == 3  # library.db, indexing.lock and the vector file
    assert set(found.values()) == {0o600}
    assert indexed.check().notes == []


@SQLITE_ONLY
def test_a_library_that_was_shared_stays_shared_and_is_noted(indexed: Library) -> None:
    indexed.folder.chmod(0o755)
    (indexed.folder / "library.db").chmod(0o664)
    for file in indexed.folder.glob("vectors-*"):
        file.unlink()
    (indexed.folder / "indexing.lock").unlink()

    indexed.vectors()

    [vectors] = indexed.folder.glob("vectors-*.faiss")
    assert stat.S_IMODE(vectors.stat().st_mode) == 0o664
    assert modes(indexed.folder)["library.db"] == 0o664
    [note] = indexed.check().notes
    assert note.endswith(f"to make it private, run: chmod -R go= {indexed.folder}")
    assert not indexed.check().problems


@SQLITE_ONLY
@pytest.mark.parametrize(("folder", "file", "notes"), [(0o755, 0o600, 0), (0o777, 0o600, 1), (0o700, 0o644, 0)])
def test_only_what_others_can_reach_is_noted(library: Library, folder: int, file: int, notes: int) -> None:
    library.folder.chmod(folder)
    (library.folder / "library.db").chmod(file)

    assert len(library.check().notes) == notes


def test_a_database_is_not_made_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "library.db").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(LibraryError, match="is a broken link"):
        Library.create(tmp_path / "library")
    assert not (tmp_path / "elsewhere").exists()
