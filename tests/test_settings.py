from __future__ import annotations

from pathlib import Path

import pytest

from pixsearch.database.state import LibraryModel
from pixsearch.errors import PixsearchError
from pixsearch.model.checkpoints import is_at_hand
from pixsearch.settings import compiled_folder, library_location, models_folder


def test_the_library_that_is_given_wins_over_the_environment_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("PIXSEARCH_LIBRARY", raising=False)
    default = library_location()
    monkeypatch.setenv("PIXSEARCH_LIBRARY", str(tmp_path / "named"))

    assert library_location(str(tmp_path / "given")) == tmp_path / "given"
    assert library_location() == tmp_path / "named"
    assert isinstance(default, Path)
    assert default.name == "library"
    assert default.parent == models_folder().parent


def test_a_url_is_a_place_as_it_stands() -> None:
    assert library_location("postgresql+psycopg://me@host/photos") == "postgresql+psycopg://me@host/photos"


def test_without_a_home_directory_what_is_not_asked_for_by_name_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(*_: object, **__: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("user_data_path", "user_cache_path", "user_config_path"):
        monkeypatch.setattr(f"platformdirs.{name}", no_home)
    monkeypatch.delenv("PIXSEARCH_LIBRARY", raising=False)

    assert compiled_folder() is None
    assert not is_at_hand(LibraryModel("aa", "mine", 3))
    with pytest.raises(PixsearchError, match="no home directory"):
        library_location()
