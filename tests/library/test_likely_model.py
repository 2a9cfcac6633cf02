"""The guess at a library's model: correct for a sound library, and none otherwise, without waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixsearch import Library
from pixsearch.library.likely_model import likely_model
from pixsearch.settings import Location


def test_the_model_of_a_library_is_guessed_where_it_is_in_a_folder(indexed: Library, location: Location) -> None:
    model = indexed.model()

    assert model is not None
    assert model.name == "colours"
    assert likely_model(location) == (None if isinstance(location, str) else "colours")


@pytest.mark.usefixtures("library")
def test_nothing_is_guessed_of_an_empty_library(location: Location) -> None:
    assert likely_model(location) is None


@pytest.mark.parametrize("content", [None, b"", b"SQLite format 3\0" + bytes(4096), b"text"])
def test_nothing_is_guessed_of_what_is_no_library(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "library.db").write_bytes(content)

    assert likely_model(tmp_path) is None
    assert (tmp_path / "library.db").exists() == (content is not None)


@pytest.mark.parametrize("name", ["library.db", "library.db-journal", "library.db-wal"])
def test_it_does_not_wait_for_a_pipe(tmp_path: Path, name: str) -> None:
    (tmp_path / "library.db").write_bytes(b"")
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)

    assert likely_model(tmp_path) is None
