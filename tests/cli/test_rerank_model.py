"""`--rerank-model`: the commands with a matching model from transformers as the second stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from pixsearch.model.checkpoints import hub_folder
from pixsearch.model.torch_pair_reader import TorchPairReader
from tests.cli.conftest import Run
from tests.hub_server import hub_server
from tests.photos import make_distinct_photos
from tests.tiny_checkpoint import make_tiny_checkpoint
from tests.tiny_matching_models import MATCHING_FAMILIES, make_tiny_matching_model

Converted = Callable[[str], Path]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photos that look nothing alike."""
    return make_distinct_photos(tmp_path / "photos")


@pytest.fixture
def blip(tmp_path: Path) -> Path:
    return make_tiny_matching_model(tmp_path / "blip", "BLIP")


@pytest.fixture
def indexed(run: Run, converted: Converted, photos: Path, library: Path) -> Path:
    """A library indexed with a CLIP model."""
    assert run("index", photos, "--model", converted("CLIP")).exit_code == 0
    return library


def hits_of(run: Run, *arguments: str | Path) -> list[dict[str, Any]]:
    outcome = run("query", *arguments, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def by_model(folder: Path, photos: Path, text: str) -> list[tuple[str, float]]:
    """Return the photos' names with their logits, the highest first."""
    reader = TorchPairReader(folder)
    logits = {file.name: float(reader.logits([text], Image.open(file))[0]) for file in photos.iterdir()}
    return sorted(logits.items(), key=lambda one: -one[1])


@pytest.mark.parametrize("first_stage", ["CLIP", "tiny", pytest.param("shipped", marks=pytest.mark.slow)])
@pytest.mark.parametrize("family", MATCHING_FAMILIES)
def test_hits_are_ordered_by_the_model_behind_either_first_stage(
    run: Run, converted: Converted, photos: Path, library: Path, tmp_path: Path, family: str, first_stage: str
) -> None:
    model = {"tiny": lambda: make_tiny_checkpoint(tmp_path / "tiny"), "CLIP": lambda: converted("CLIP")}
    run("index", photos, "--model", model.get(first_stage, lambda: first_stage)())
    folder = make_tiny_matching_model(tmp_path / family, family)

    hits = hits_of(run, "a dog", "--rerank-model", folder, "--duplicates", "show")

    expected = by_model(folder, photos, "a dog")
    assert [(Path(hit["path"]).name, hit["match"]) for hit in hits] == [
        (name, pytest.approx(logit, abs=1e-3)) for name, logit in expected
    ]
    assert {hit["probability"] for hit in hits} == {hit["score"] for hit in hits} == {None}
    assert [hit["similarity_rank"] for hit in hits] != [1, 2, 3, 4, 5, 6]


def test_the_table_has_the_match_in_place_of_a_score(run: Run, indexed: Path, blip: Path) -> None:
    shown = run("query", "a dog", "--rerank-model", blip)

    assert shown.stdout.split()[:3] == ["rank", "match", "similarity"]
    assert shown.stderr == ""


def test_only_the_candidates_are_read(run: Run, indexed: Path, blip: Path) -> None:
    hits = hits_of(run, "a dog", "--rerank-model", blip, "--candidates", "2")

    assert [hit["match"] is None for hit in hits] == [False] * 2 + [True] * 4
    assert sorted(hit["similarity_rank"] for hit in hits[:2]) == [1, 2]


def test_photos_that_have_gone_keep_their_place_and_one_line_says_so(
    run: Run, indexed: Path, blip: Path, photos: Path
) -> None:
    before = [Path(hit["path"]).name for hit in hits_of(run, "a dog", "--no-rerank")]
    (photos / before[1]).unlink()
    one = run("query", "a dog", "--rerank-model", blip, "--json")
    Image.new("RGB", (60, 45)).save(photos / before[3])
    two = run("query", "a dog", "--rerank-model", blip, "--json")

    after = [json.loads(line) for line in two.stdout.splitlines()]
    gone = f"{photos / before[1]}: the file no longer exists"
    assert one.stderr == f"pixsearch: 1 photo could not be re-ranked and keeps its rank: {gone}\n"
    assert two.stderr == f"pixsearch: 2 photos could not be re-ranked and keep their ranks: {gone}\n"
    assert [Path(after[place]["path"]).name for place in (1, 3)] == [before[1], before[3]]
    assert after[3]["match_error"] == "the file has changed since it was indexed: run pixsearch index"
    assert [hit["match"] is None for hit in after] == [False, True, False, True, False, False]


def test_each_line_of_a_file_is_re_ranked(run: Run, indexed: Path, blip: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_text("a dog\nsnow at night\n")

    hits = hits_of(run, "--queries", tmp_path / "queries.txt", "--rerank-model", blip)

    for text, found in (("a dog", hits[:6]), ("snow at night", hits[6:])):
        assert [Path(hit["path"]).name for hit in found] == [name for name, _ in by_model(blip, photos, text)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a dog", "--no-rerank"], "--rerank-model and --no-rerank cannot be used together"),
        (["a dog", "--threshold", "0.5"], "a re-ranking model has no calibrated probabilities for a threshold"),
        (["a dog", "--sort", "newest"], "a re-ranking model sorts by relevance, not by date"),
        (["a dog", "--says"], "a re-ranking model reads pictures, but --says searches metadata only"),
        (["--image", "PHOTO"], "a query without words cannot be re-ranked"),
        (["--sort", "newest"], "a query without words cannot be re-ranked"),
        (["--image", "PHOTO", "--find", "texts"], "a re-ranking model ranks photos, not texts"),
    ],
)
def test_what_it_does_not_order_is_one_line(
    run: Run, indexed: Path, blip: Path, photos: Path, arguments: list[str], message: str
) -> None:
    given = [str(photos / "0.png") if one == "PHOTO" else one for one in arguments]

    outcome = run("query", *given, "--rerank-model", blip)

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr == f"pixsearch: {message}. Omit --rerank-model, or change the query\n"


@pytest.mark.parametrize("command", [["query", "a dog"], ["serve", "--port", "0"]], ids=lambda command: command[0])
def test_a_model_without_a_matching_head_is_one_line(
    run: Run, indexed: Path, converted: Converted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    captioning = make_tiny_matching_model(tmp_path / "captioning", "BLIP", kind="BlipForConditionalGeneration")
    use = "Use a BLIP, BridgeTower or ViLT model trained for retrieval, such as hub:Salesforce/blip-itm-base-coco"

    for name in ("shipped", str(converted("CLIP")), str(captioning)):
        outcome = run(*command, "--rerank-model", name)

        assert (outcome.exit_code, outcome.stdout) == (1, "")
        assert outcome.stderr == f"pixsearch: the model {name} has no image-text matching head. {use}\n"
    there_is_none = run(*command, "--rerank-model", "hub:org/name")
    assert there_is_none.stderr == (
        "pixsearch: the model hub:org/name is not on this machine. Download it with: pixsearch model get hub:org/name\n"
    )
    assert run(*command, "--rerank-model", "nothing").stderr.endswith(
        "Set --rerank-model to a folder or the name of a model on the Hub\n"
    )


@pytest.mark.parametrize(
    "command",
    [["index", "PHOTOS"], ["query", "a dog"], ["serve", "--port", "0"], ["explain", "a dog", "PHOTO"], ["add-graphs"]],
    ids=lambda command: command[0],
)
def test_a_matching_model_cannot_be_searched_with(
    run: Run, indexed: Path, blip: Path, photos: Path, command: list[str]
) -> None:
    given = [{"PHOTOS": str(photos), "PHOTO": str(photos / "0.png")}.get(one, one) for one in command]

    outcome = run(*given, *([blip] if command == ["add-graphs"] else ["--model", blip]))

    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert outcome.stderr == (
        f"pixsearch: the model {blip} matches texts with pictures but has no embeddings to search with. "
        "Use it for re-ranking, with --rerank-model in pixsearch query or serve\n"
    )


def test_without_torch_one_line_says_what_to_install(
    run: Run, indexed: Path, blip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixsearch.extras.find_spec", lambda name: None if name == "torch" else name)

    outcome = run("query", "a dog", "--rerank-model", blip)

    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith("pixsearch: --rerank-model needs torch. Install it with: ")
    assert outcome.stderr.endswith("pixsearch[hub]'\n")


@pytest.mark.parametrize("family", MATCHING_FAMILIES)
def test_such_a_model_is_downloaded_shown_used_and_removed(
    run: Run, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = make_tiny_matching_model(tmp_path / "model", family)
    with hub_server() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        hub.add("org/matching", folder)
        got = run("model", "get", "org/matching", "--yes")

    assert got.exit_code == 0, got.stderr
    assert got.stdout.splitlines() == [
        f"{hub_folder('hub:org/matching')}: hub:org/matching",
        "To re-rank with this model, run: pixsearch query --rerank-model hub:org/matching WORDS",
    ]
    shown = json.loads(run("model", "show", "org/matching", "--json").stdout)
    assert (shown["kind"], shown["reads_pairs"], shown["embedding_size"]) == (family.lower(), True, None)
    assert "re-rank     with --rerank-model only, not for indexing" in run("model", "show", "org/matching").stdout
    assert None not in [hit["match"] for hit in hits_of(run, "a dog", "--rerank-model", "hub:org/matching")]
    assert run("model", "remove", "org/matching", "--yes").exit_code == 0


def test_a_model_without_the_head_is_not_kept(
    run: Run, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = make_tiny_matching_model(tmp_path / "model", "BLIP", kind="BlipForConditionalGeneration")
    with hub_server() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        hub.add("org/captioning", folder)
        got = run("model", "get", "org/captioning", "--yes")

    assert got.exit_code == 1
    assert "has no image-text matching head" in got.stderr.splitlines()[-1]
    assert list(hub_folder("hub:org/captioning").parent.iterdir()) == []


def test_a_server_re_ranks_and_still_answers_quickly(indexed: Path, blip: Path, photos: Path) -> None:
    command = [sys.executable, "-m", "pixsearch_cli", "serve", "--port", "0", "--rerank-model", str(blip)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ}) as server:
        assert server.stderr is not None
        address = next(word for line in server.stderr for word in line.split() if word.startswith("http://"))
        try:
            quick = httpx2.get(f"{address}api/search", params={"q": "a dog", "rerank": "false"}, timeout=60)
            found = httpx2.get(f"{address}api/search", params={"q": "a dog"}, timeout=60)
        finally:
            server.terminate()

    assert [hit["similarity_rank"] for hit in quick.json()["hits"]] == [1, 2, 3, 4, 5, 6]
    assert [Path(hit["path"]).name for hit in found.json()["hits"]] == [
        name for name, _ in by_model(blip, photos, "a dog")
    ]
