"""The guess at a library's model: right for a sound library, and nothing for anything else, without waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixsearch import Library
from pixsearch.library.likely_model import likely_model


def test_the_model_of_a_library_is_guessed_by_its_name(indexed: Library, tmp_path: Path) -> None:
    model = indexed.model()

    assert model is not None
    assert likely_model(tmp_path / "library") == model.name == "colours"


def test_nothing_is_guessed_of_an_empty_library_or_of_a_database_on_a_server(library: Library, tmp_path: Path) -> None:
    assert likely_model(tmp_path / "library") is None
    assert likely_model("postgresql://nowhere/photos") is None


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
