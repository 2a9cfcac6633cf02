"""Installed models while another process changes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixsearch.model.hub_source import unfinished_folder
from pixsearch.model.installed_models import installed_models


def test_a_file_that_a_download_renames_meanwhile_does_not_stop_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = unfinished_folder("hub:org/model")
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors.part"):
        (folder / name).write_bytes(b"1234")
    walk = os.walk

    def walk_then_rename(top: Path) -> list[tuple[str, list[str], list[str]]]:
        found = list(walk(top))
        if top == folder:
            (folder / "model.safetensors.part").rename(folder / "model.safetensors")
        return found

    monkeypatch.setattr(os, "walk", walk_then_rename)

    sizes = {model.name: model.size_bytes for model in installed_models()}

    assert sizes["hub:org/model"] == 4
