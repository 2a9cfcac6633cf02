from __future__ import annotations

from pathlib import Path

import pytest

from pixsearch.settings import library_folder, models_folder


def test_the_library_that_is_given_wins_over_the_environment_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("PIXSEARCH_LIBRARY", raising=False)
    default = library_folder()
    monkeypatch.setenv("PIXSEARCH_LIBRARY", str(tmp_path / "named"))

    assert library_folder(tmp_path / "given") == tmp_path / "given"
    assert library_folder() == tmp_path / "named"
    assert default.name == "library"
    assert default.parent == models_folder().parent
