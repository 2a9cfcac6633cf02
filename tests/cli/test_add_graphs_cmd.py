"""`pixsearch add-graphs`, with a checkpoint that has no graphs."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run
from tests.tiny_checkpoint import make_checkpoint_without_graphs


def test_a_checkpoint_without_graphs_searches_once_they_are_added(
    run: Run, tmp_path: Path, library: Path, photos: Path
) -> None:
    folder = make_checkpoint_without_graphs(tmp_path / "old")

    refused = run("index", photos, "--model", folder)
    added = run("add-graphs", folder)
    indexed = run("index", photos, "--model", folder)

    assert f"Add them with: pixsearch add-graphs {folder}" in refused.stderr
    assert (refused.exit_code, added.exit_code, indexed.exit_code) == (1, 0, 0)
    assert added.stdout == f"{folder / 'graphs.zip'}\n"
