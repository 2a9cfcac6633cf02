"""The runtime gives the same results as the network that was trained."""

from __future__ import annotations

import dataclasses
import math
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixsearch.errors import WordsNotLocated
from pixsearch.model.checkpoints import fingerprint, load_checkpoint, save_checkpoint
from pixsearch.model.compiled_forwards import CompiledForwards
from pixsearch.model.config import Calibration, Curve
from pixsearch.model.grids import unpack_grids
from pixsearch.model.number_formats import NumberFormats
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.model.tensors import picture_tensors, word_tensors
from pixsearch.model.tracing import add_graphs
from pixsearch.pictures import resized
from pixsearch.search.cascade import read_every_pair
from pixsearch.search.runtime import Floats

TEXTS = ["a dog", "two cats on a red sofa", "rain"]


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(0)
    return [Image.fromarray(noise.integers(0, 256, (size, 80, 3), dtype=np.uint8)) for size in (64, 90, 120)]


@pytest.fixture(autouse=True)
def _in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in fp32 on every machine, so that results can be compared precisely."""
    monkeypatch.setattr(
        "pixsearch.model.runtime.forwards_of", lambda folder, name, gpu: CompiledForwards(folder, name, NumberFormats())
    )


@pytest.fixture
def runtime(active_checkpoint: Path) -> PixelBertRuntime:
    return PixelBertRuntime(active_checkpoint)


def test_the_runtime_describes_its_model(runtime: PixelBertRuntime, active_checkpoint: Path) -> None:
    assert runtime.fingerprint == fingerprint(active_checkpoint)
    assert runtime.name == str(active_checkpoint)
    assert (runtime.embedding_size, runtime.input_shape.input_size) == (16, 64)
    assert runtime.default_order == "match"


def test_pictures_and_texts_become_unit_vectors_and_grids_become_bytes(
    runtime: PixelBertRuntime, pictures: list[Image.Image]
) -> None:
    embeddings, grids = runtime.encode_pictures(pictures)
    texts = runtime.embed_texts(TEXTS)

    for vectors in (embeddings, texts):
        assert vectors.shape == (3, 16)
        assert vectors.dtype == np.float32
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert unpack_grids(grids, 1280)[0].shape == (3, 2 * 2, 1280)


def test_pixels_of_the_input_size_have_the_features_of_their_pictures(
    runtime: PixelBertRuntime, pictures: list[Image.Image]
) -> None:
    expected, expected_grids = runtime.encode_pictures(pictures)

    pixels = [np.asarray(resized(picture, runtime.input_shape.picture_size(*picture.size))) for picture in pictures]
    embeddings, grids = runtime.encode_pixels(pixels)

    assert embeddings.tobytes() == expected.tobytes()
    assert grids == expected_grids


def test_a_stored_grid_has_the_embedding_of_its_picture(runtime: PixelBertRuntime, pictures: list[Image.Image]) -> None:
    embeddings, grids = runtime.encode_pictures(pictures[:1])

    assert runtime.embed_grid(grids[0]) @ embeddings[0] == pytest.approx(1, abs=1e-3)  # stored with one byte per value


def match_pictures(runtime: PixelBertRuntime, text: str, grids: list[bytes], embeddings: Floats) -> Floats:
    return read_every_pair(runtime, runtime.read_texts([text]), grids, embeddings)[1]


def match_texts(runtime: PixelBertRuntime, texts: list[str], grid: bytes, embedding: Floats) -> Floats:
    return read_every_pair(runtime, runtime.read_texts(texts), [grid], embedding[np.newaxis])[1]


def test_late_scores_and_matches_are_those_of_the_network_for_the_stored_grids(
    runtime: PixelBertRuntime, active_checkpoint: Path, pictures: list[Image.Image]
) -> None:
    embeddings, grids = runtime.encode_pictures(pictures)
    model, processor = load_checkpoint(active_checkpoint)

    late_scores, logits = read_every_pair(runtime, runtime.read_texts([TEXTS[1]]), grids, embeddings)

    ids, mask = word_tensors(processor, [TEXTS[1]])
    with torch.no_grad():
        text = model.embed_text(ids, mask)
        late_by_hand, by_hand = [], []
        for grid, embedding in zip(grids, embeddings, strict=True):
            pixels = torch.from_numpy(unpack_grids([grid], 1280)[0])
            late_score = model.late_score(ids, mask, pixels, text @ torch.from_numpy(embedding))
            late_by_hand.append(late_score.item())
            by_hand.append(model.match(ids, mask, pixels, late_score).item())
    assert late_scores.dtype == logits.dtype == np.float32
    assert late_scores.tolist() == pytest.approx(late_by_hand, abs=1e-4)
    assert logits.tolist() == pytest.approx(by_hand, abs=0.01)
    assert np.ptp(logits) > 0.1  # the three pictures differ clearly


def test_many_texts_match_one_picture_like_each_text_alone(
    runtime: PixelBertRuntime, pictures: list[Image.Image]
) -> None:
    embeddings, grids = runtime.encode_pictures(pictures)

    of_texts = [match_texts(runtime, TEXTS, grid, row) for grid, row in zip(grids, embeddings, strict=True)]
    of_pictures = [match_pictures(runtime, text, grids, embeddings) for text in TEXTS]

    assert np.stack(of_texts) == pytest.approx(np.stack(of_pictures).T, abs=1e-3)


def test_more_pairs_than_a_batch_holds_match_as_each_alone(
    runtime: PixelBertRuntime, pictures: list[Image.Image]
) -> None:
    embeddings, grids = runtime.encode_pictures(pictures)
    indices = [index % 3 for index in range(130)]  # two batches of 64, and two pairs more

    logits = match_pictures(runtime, TEXTS[0], [grids[index] for index in indices], embeddings[indices])
    of_texts = match_texts(runtime, [TEXTS[index] for index in indices], grids[0], embeddings[0])

    assert logits == pytest.approx(match_pictures(runtime, TEXTS[0], grids, embeddings)[indices], abs=1e-3)
    assert of_texts == pytest.approx(match_texts(runtime, TEXTS, grids[0], embeddings[0])[indices], abs=1e-3)
    texts = runtime.embed_texts([TEXTS[index] for index in indices])
    assert texts == pytest.approx(np.stack([runtime.embed_texts([text])[0] for text in TEXTS])[indices], abs=1e-5)


def calibrated(folder: Path, to: Path, calibration: Calibration | None, rerank: bool = True) -> PixelBertRuntime:
    shutil.copytree(folder, to)
    _, processor = load_checkpoint(to)
    processor.config = dataclasses.replace(processor.config, calibration=calibration, rerank=rerank)
    processor.save_pretrained(to)
    return PixelBertRuntime(to)


def test_a_probability_is_the_sigmoid_of_the_stages_calibrated_score(active_checkpoint: Path, tmp_path: Path) -> None:
    runtime = calibrated(active_checkpoint, tmp_path / "calibrated", Calibration(Curve(0.5, -1.0), Curve(10.0, -5.0)))

    probabilities = runtime.probability(np.array([2.0, 2.0 + 2 * math.log(3), 0.0], dtype=np.float32), "joint")
    by_late = runtime.probability(np.array([0.5], dtype=np.float32), "late")

    # sigmoid(0), sigmoid(log 3), sigmoid(-1)
    assert probabilities is not None
    assert probabilities.tolist() == pytest.approx([0.5, 0.75, 1 / (1 + math.e)])
    assert by_late is not None
    assert by_late.tolist() == [0.5]


def test_a_very_low_score_has_probability_zero_without_a_warning(active_checkpoint: Path, tmp_path: Path) -> None:
    runtime = calibrated(active_checkpoint, tmp_path / "calibrated", Calibration(Curve(10.0, 0.0), Curve(10.0, 0.0)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilities = runtime.probability(np.array([-50.0, 50.0], dtype=np.float32), "joint")

    assert probabilities is not None
    assert probabilities.tolist() == [0.0, 1.0]


def test_a_checkpoint_that_was_not_calibrated_has_no_probabilities(runtime: PixelBertRuntime) -> None:
    assert runtime.probability(np.zeros(2, dtype=np.float32), "joint") is None


def test_the_default_order_is_that_of_the_checkpoint(active_checkpoint: Path, tmp_path: Path) -> None:
    assert calibrated(active_checkpoint, tmp_path / "first-stage", None, rerank=False).default_order == "similarity"


def test_each_word_has_the_mean_cosine_of_its_pieces_with_each_pixel(
    runtime: PixelBertRuntime, active_checkpoint: Path, pictures: list[Image.Image]
) -> None:
    model, processor = load_checkpoint(active_checkpoint)
    _, grids = runtime.encode_pictures(pictures[:1])
    unpacked, _ = unpack_grids(grids, model.model.backbone.channels)

    words, cosines = runtime.locate_words("A cat", grids[0], *pictures[0].size)

    # [CLS] a c ##a ##t [SEP]
    late = model.late_interaction
    with torch.inference_mode():
        read = late.map_words(model.read_each_word(*word_tensors(processor, ["A cat"])))[0].numpy()
        pixels = late.map_pixels(model.model.standardise(torch.from_numpy(unpacked)))[0].numpy()
    expected = read @ pixels.T
    assert words == ["A", "cat"]
    assert cosines.shape == (2, 2, 2)  # the picture is 64 x 64
    assert cosines.reshape(2, -1) == pytest.approx(np.stack([expected[1], expected[2:5].mean(0)]), abs=1e-3)


def test_text_without_tokens_has_no_words(runtime: PixelBertRuntime, pictures: list[Image.Image]) -> None:
    _, grids = runtime.encode_pictures(pictures[:1])

    words, cosines = runtime.locate_words("\u0018\u009b", grids[0], *pictures[0].size)

    assert words == []
    assert cosines.shape == (0, 2, 2)


def test_a_checkpoint_without_late_interaction_cannot_locate_words(
    active_checkpoint: Path, tmp_path: Path, pictures: list[Image.Image]
) -> None:
    model, processor = load_checkpoint(active_checkpoint)
    torch.nn.init.zeros_(model.late_interaction.scale)
    folder = tmp_path / "closed"
    save_checkpoint(folder, model, processor)
    add_graphs(folder)
    closed = PixelBertRuntime(folder)
    _, grids = closed.encode_pictures(pictures[:1])

    with pytest.raises(WordsNotLocated, match="late interaction was never trained"):
        closed.locate_words("a cat", grids[0], *pictures[0].size)


def test_likeness_is_1_for_the_same_picture_and_less_for_another(
    runtime: PixelBertRuntime, pictures: list[Image.Image]
) -> None:
    _, grids = runtime.encode_pictures(pictures[:2])

    assert runtime.likeness(grids[0], grids[0]) == pytest.approx(1.0, abs=1e-5)
    assert runtime.likeness(grids[0], grids[1]) < 0.999
    assert runtime.likeness(grids[0], grids[1]) == runtime.likeness(grids[1], grids[0])


def test_a_grid_is_that_of_the_network_to_a_byte_per_value(
    runtime: PixelBertRuntime, active_checkpoint: Path, pictures: list[Image.Image]
) -> None:
    model, processor = load_checkpoint(active_checkpoint)

    _, grids = runtime.encode_pictures(pictures)

    with torch.inference_mode():
        expected, _ = model.model.encode_grids(picture_tensors(processor, pictures))
    unpacked, _ = unpack_grids(grids, model.model.backbone.channels)
    assert unpacked == pytest.approx(expected.numpy(), abs=float(expected.max()) / 400)


def test_threads_may_share_a_runtime(runtime: PixelBertRuntime, pictures: list[Image.Image]) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: runtime.encode_pictures(pictures[:1])[1], range(8)))

    assert answers == answers[:1] * 8
