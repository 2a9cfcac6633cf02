"""The commands with a dual encoder from transformers instead of a Pixel-BERT model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from pixsearch.decoding import DecodeLimits, decoding_processes
from pixsearch.model.checkpoints import hub_folder
from pixsearch.model.load_runtime import load_runtime
from pixsearch_cli.web.access import access_at
from pixsearch_cli.web.app import make_app
from pixsearch_cli.web.photo_decoder import PhotoDecoder
from pixsearch_cli.web.warm_engine import WarmEngine
from pixsearch_indexer.thumbnail_cache import ThumbnailCache
from tests.cli.conftest import Run
from tests.photos import make_distinct_photos
from tests.tiny_checkpoint import make_tiny_checkpoint
from tests.tiny_dual_encoders import FAMILIES, make_tiny_dual_encoder

Converted = Callable[[str], Path]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photos that look nothing alike, all too small to be decoded at a reduced scale."""
    return make_distinct_photos(tmp_path / "photos")


@pytest.fixture
def model(converted: Converted, tmp_path: Path) -> Path:
    """A converted CLIP model."""
    return Path(shutil.copytree(converted("CLIP"), tmp_path / "clip"))


@pytest.fixture
def indexed(run: Run, model: Path, photos: Path, library: Path) -> Path:
    """A library indexed with that model."""
    assert run("index", photos, "--model", model).exit_code == 0
    return library


def by_transformers(folder: Path, photos: Path, text: str) -> list[tuple[str, float]]:
    """Return the photos' names with their similarities, the most similar first."""
    from tests.model.dual_encoders import transformers_pictures, transformers_texts

    files = sorted(photos.iterdir())
    pictures = transformers_pictures(folder, [Image.open(file).convert("RGB") for file in files])
    similarities = pictures @ transformers_texts(folder, [text])[0]
    return [(files[index].name, float(similarities[index])) for index in np.argsort(-similarities)]


def found_by(run: Run, *arguments: str | Path) -> list[tuple[str, float]]:
    hits = [json.loads(line) for line in run("query", *arguments, "--json").stdout.splitlines()]
    return [(Path(hit["path"]).name, hit["similarity"]) for hit in hits]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_library_is_searched_in_the_order_of_transformers_own_similarities(
    run: Run, converted: Converted, photos: Path, library: Path, family: str
) -> None:
    indexed = run("index", photos, "--model", converted(family))
    found = found_by(run, "a dog", "--duplicates", "show")

    expected = by_transformers(converted(family), photos, "a dog")
    assert indexed.exit_code == 0
    assert "6 encoded" in indexed.stdout
    assert dict(found) == pytest.approx(dict(expected), abs=0.02)  # a CPU with bf16 computes in bf16
    assert found[0][0] in [name for name, similarity in expected if similarity > expected[0][1] - 0.04]


@contextmanager
def page_of(library: Path, cache: Path) -> Iterator[TestClient]:
    """Yield a client for the library's page. The client does not use the network."""
    engine = WarmEngine(library, lambda opened: load_runtime(opened.checkpoint(None)))
    thumbnails = ThumbnailCache(cache, str(library), lambda: engine.library().count_contents())
    with decoding_processes(DecodeLimits()) as pool:
        site = make_app(engine, PhotoDecoder(pool, DecodeLimits(), cache, thumbnails), access_at("127.0.0.1", None))
        yield TestClient(site, base_url="http://localhost:7860")
    engine.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_page_follows_its_library_to_every_family_and_back(
    run: Run, converted: Converted, photos: Path, library: Path, tmp_path: Path, family: str
) -> None:
    own = make_tiny_checkpoint(tmp_path / "tiny")
    run("index", photos, "--model", own)

    with page_of(library, tmp_path / "cache") as page:

        def answer() -> list[dict[str, Any]]:
            hits: list[dict[str, Any]] = page.get("/api/search", params={"q": "a dog"}).json()["hits"]
            return hits

        before = answer()
        there = run("index", "--switch-model", "--model", converted(family))
        meanwhile = answer()
        back = run("index", "--switch-model", "--model", own)

        assert page.get("/").status_code == 200
        assert (there.exit_code, back.exit_code) == (0, 0)
        assert answer() == before

    assert all(hit["match"] is not None for hit in before)
    assert all(hit["match"] is None for hit in meanwhile)
    similarities = {Path(hit["path"]).name: hit["similarity"] for hit in meanwhile}
    assert similarities == pytest.approx(dict(by_transformers(converted(family), photos, "a dog")), abs=0.02)


@pytest.mark.parametrize("other", ["tiny", pytest.param("shipped", marks=pytest.mark.slow)])
def test_a_library_is_switched_to_a_pixel_bert_and_back(
    run: Run, model: Path, indexed: Path, photos: Path, tmp_path: Path, other: str
) -> None:
    if other == "tiny":
        other = str(make_tiny_checkpoint(tmp_path / "tiny"))
    before = found_by(run, "a dog", "--duplicates", "show")

    refused = run("index", photos, "--model", other)
    switched = run("index", "--switch-model", "--model", other)
    by_other = run("query", "a dog", "--json", "--duplicates", "show")
    back = run("index", "--switch-model", "--model", model)

    assert "--switch-model" in refused.stderr
    assert (switched.exit_code, back.exit_code) == (0, 0)
    assert json.loads(by_other.stdout.splitlines()[0])["match"] is not None
    assert str(model) in run("status").stdout
    assert found_by(run, "a dog", "--duplicates", "show") == before


def test_a_hit_has_a_similarity_and_for_siglip_a_probability_but_no_match(
    run: Run, converted: Converted, photos: Path, library: Path
) -> None:
    run("index", photos, "--model", converted("SigLIP"))

    hit = json.loads(run("query", "a dog", "--json").stdout.splitlines()[0])

    logit = np.exp(2.0) * hit["similarity"] - 4.0  # the model's logit_scale and logit_bias
    assert hit["match"] is None
    assert hit["probability"] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4)


def test_near_duplicates_are_folded_and_listed(run: Run, indexed: Path, photos: Path) -> None:
    with Image.open(photos / "0.png") as photo:
        photo.resize((120, 90)).save(photos / "larger.jpg", quality=80)
    run("index", photos)

    hits = [json.loads(line) for line in run("query", "a dog", "--json").stdout.splitlines()]
    groups = [json.loads(line) for line in run("duplicates", "--alike", "--json").stdout.splitlines()]

    by_name = {Path(hit["path"]).name: [Path(path).name for path in hit["similar"]] for hit in hits}
    assert by_name == {"larger.jpg": ["0.png"]} | {f"{number}.png": [] for number in range(1, 6)}
    assert [[Path(photo["path"]).name for photo in group["photos"]] for group in groups] == [["larger.jpg", "0.png"]]


def test_words_and_pictures_are_combined(run: Run, indexed: Path, photos: Path) -> None:
    found = found_by(run, "--image", photos / "3.png", "--minus", "0.1:a cat", "--plus", "0.1:a dog")

    assert found[0][0] == "3.png"


def test_what_needs_words_and_pixels_together_says_so_in_one_line(
    run: Run, model: Path, indexed: Path, photos: Path
) -> None:
    reranked = run("query", "a dog", "--rerank")
    explained = run("explain", "a dog", photos / "0.png", "--model", model)

    assert (reranked.exit_code, reranked.stderr) == (
        2,
        f"pixsearch: the model {model} does not support re-ranking. Omit --rerank, or use a Pixel-BERT checkpoint\n",
    )
    assert (explained.exit_code, explained.stderr) == (
        1,
        f"pixsearch: the model {model} cannot locate words in a picture: it computes only one vector per picture. "
        "Use a Pixel-BERT checkpoint\n",
    )


def test_a_threshold_needs_a_calibration(run: Run, indexed: Path) -> None:
    refused = run("query", "a dog", "--threshold", "0.5")

    assert refused.exit_code == 2
    assert "has no calibrated probabilities. Run pixsearch calibrate" in refused.stderr


def test_a_page_of_hits_is_written_without_reasons(run: Run, indexed: Path, tmp_path: Path) -> None:
    outcome = run("query", "a dog", "--html", tmp_path / "page.html")

    assert outcome.exit_code == 0
    assert "0.png" in (tmp_path / "page.html").read_text()


def captions(photos: Path) -> Path:
    images = [
        {"filename": file.name, "split": "val", "sentences": [{"raw": f"a dog {number}"}]}
        for number, file in enumerate(sorted(photos.iterdir()))
    ]
    file = photos.parent / "captions.json"
    file.write_text(json.dumps({"images": images}))
    return file


def test_recall_is_measured_for_the_first_stage(run: Run, model: Path, photos: Path) -> None:
    measured = run("evaluate", "--data", captions(photos), "--images", photos, "--model", model)
    refused = run("evaluate", "--data", captions(photos), "--images", photos, "--model", model, "--full")

    assert "text to image, first stage" in measured.stdout
    assert "re-ranked" not in measured.stdout
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)


def captions_by_similarity(model: Path, photos: Path, *, nearest: bool) -> Path:
    """Caption each picture with the nearest text, so that right pairs score higher.

    If `nearest` is False, use the farthest text, so that right pairs score lower.
    """
    from tests.model.dual_encoders import transformers_pictures, transformers_texts

    files = sorted(photos.iterdir())
    texts = [f"{word} {number}" for word in ("a dog", "snow", "x", "beach at night") for number in range(10)]
    pictures = transformers_pictures(model, [Image.open(file).convert("RGB") for file in files])
    similarities = transformers_texts(model, texts) @ pictures.T
    relative = similarities - similarities.mean(1, keepdims=True)
    chosen = relative.argmax(0) if nearest else relative.argmin(0)
    data = photos.parent / "captions.json"
    images = [
        {"filename": file.name, "split": "val", "sentences": [{"raw": texts[index]}]}
        for file, index in zip(files, chosen, strict=True)
    ]
    data.write_text(json.dumps({"images": images}))
    return data


def test_captioned_pictures_calibrate_it(run: Run, model: Path, indexed: Path, photos: Path) -> None:
    data = captions_by_similarity(model, photos, nearest=True)

    outcome = run("calibrate", "--data", data, "--images", photos, "--model", model, "--json")

    calibration = json.loads(outcome.stdout)["calibration"]
    assert calibration["joint"] is None
    assert calibration["late"]["slope"] > 0
    assert json.loads((model / "dual_encoder.json").read_text())["calibration"] == calibration
    hit = json.loads(run("query", "a dog", "--json").stdout.splitlines()[0])  # the library still belongs to this model
    assert 0 < hit["probability"] < 1


def test_pictures_that_it_does_not_know_do_not_calibrate_it(run: Run, model: Path, photos: Path) -> None:
    data = captions_by_similarity(model, photos, nearest=False)

    outcome = run("calibrate", "--data", data, "--images", photos, "--model", model)

    assert outcome.exit_code == 2
    assert outcome.stderr.splitlines()[-1] == (
        "pixsearch: the similarities are not higher for right pairs than for wrong ones. "
        "Use pictures and text similar to the model's training data"
    )
    assert json.loads((model / "dual_encoder.json").read_text())["calibration"] is None


def test_a_folder_of_transformers_is_searched_with_once_it_has_graphs(
    run: Run, tmp_path: Path, library: Path, photos: Path
) -> None:
    folder = make_tiny_dual_encoder(tmp_path / "model", "CLIP")

    refused = run("index", photos, "--model", folder)
    added = run("add-graphs", folder)
    indexed = run("index", photos, "--model", folder)

    assert (refused.exit_code, added.exit_code, indexed.exit_code) == (1, 0, 0)
    assert refused.stderr == (
        f"pixsearch: {folder} is a transformers model that has not been converted. "
        f"Convert it with: pixsearch add-graphs {folder}\n"
    )
    assert added.stdout == f"{folder / 'dual_encoder.json'}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["index", "PHOTOS"],
        ["query", "a dog"],
        ["duplicates", "--alike"],
        ["serve", "--port", "0"],
        ["watch"],
        ["explain", "a dog", "PHOTO"],
        ["evaluate", "--data", "captions.json"],
        ["calibrate", "--data", "captions.json"],
        ["add-graphs"],
        ["train", "--data", "PHOTOS"],
    ],
    ids=lambda command: command[0],
)
def test_a_model_of_the_hub_that_is_not_there_is_one_line(
    run: Run, indexed: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    given = [{"PHOTOS": str(photos), "PHOTO": str(photos / "0.png")}.get(one, one) for one in command]
    named = ["hub:org/name"] if command == ["add-graphs"] else ["--model", "hub:org/name"]

    outcome = run(*given, *named)

    assert outcome.exit_code == 1
    assert outcome.stderr == (
        "pixsearch: the model hub:org/name is not on this machine. Download it with: pixsearch model get hub:org/name\n"
    )


def test_a_library_remembers_a_model_of_the_hub_by_its_name(
    run: Run, model: Path, photos: Path, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    shutil.copytree(model, hub_folder("hub:org/tiny"))

    indexed = run("index", photos, "--model", "hub:org/tiny")
    shutil.rmtree(model)

    assert indexed.exit_code == 0
    assert "hub:org/tiny" in run("status").stdout
    assert run("query", "a dog").exit_code == 0


def test_the_api_answers_and_says_why_it_cannot_explain(indexed: Path, model: Path) -> None:
    command = [sys.executable, "-m", "pixsearch_cli", "serve", "--library", str(indexed), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ}) as server:
        assert server.stderr is not None
        address = next(word for line in server.stderr for word in line.split() if word.startswith("http://"))
        try:
            found = httpx2.get(f"{address}api/search", params={"q": "a dog"})
            reason = httpx2.get(f"{address}api/photos/{found.json()['hits'][0]['id']}/explain", params={"q": "a dog"})
        finally:
            server.terminate()

    assert found.status_code == 200
    assert len(found.json()["hits"]) == 6
    assert found.json()["hits"][0]["match"] is None
    assert reason.json()["detail"] == (
        f"the model {model} cannot locate words in a picture: it computes only one vector per picture. "
        "Use a Pixel-BERT checkpoint"
    )
