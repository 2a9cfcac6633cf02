"""Matching models from transformers: every family's logits compared with transformers', and unsupported models."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pixsearch.errors import CheckpointInvalid, PictureError
from pixsearch.model.checkpoints import SHIPPED
from pixsearch.model.load_runtime import load_runtime
from pixsearch.model.torch_pair_reader import TorchPairReader
from tests.tiny_dual_encoders import make_tiny_dual_encoder
from tests.tiny_matching_models import MATCHING_FAMILIES, make_tiny_matching_model
from tests.unsuitable_files import in_time

import transformers as hf  # isort: skip

CLASSES: dict[str, Any] = {
    "BLIP": hf.BlipForImageTextRetrieval,
    "BridgeTower": hf.BridgeTowerForImageAndTextRetrieval,
    "ViLT": hf.ViltForImageAndTextRetrieval,
}
TEXTS = ("a photo of a dog", "Two CATS on a red sofa, sleeping!", "?")


@pytest.fixture(scope="module", params=MATCHING_FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_matching_model(tmp_path_factory.mktemp(family), family)


def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(0)
    coarse = [Image.fromarray(noise.integers(0, 256, (4, 5, 3), dtype=np.uint8)) for _ in range(4)]
    sizes = [(640, 480), (48, 64), (203, 97), (32, 32)]
    return [one.resize(size, Image.Resampling.BICUBIC) for one, size in zip(coarse, sizes, strict=True)]


def by_transformers(family: str, folder: Path, text: str, picture: Image.Image) -> Any:
    """Return the head's logits, using the processor and the model as in the transformers documentation."""
    processor: Any = hf.AutoProcessor.from_pretrained(folder, local_files_only=True)
    model = CLASSES[family].from_pretrained(folder, local_files_only=True).eval()
    with torch.inference_mode():
        output = model(**processor(images=picture, text=text, return_tensors="pt"))
    return output.itm_score[0] if family == "BLIP" else output.logits[0]


def test_logits_are_those_of_transformers(family: str, folder: Path) -> None:
    reader = TorchPairReader(folder)

    assert reader.min_edge == 32
    for picture in pictures():
        found = reader.logits(TEXTS, picture)
        for text, logit in zip(TEXTS, found, strict=True):
            scores = by_transformers(family, folder, text, picture)
            if family == "ViLT":
                assert logit == pytest.approx(scores.item(), abs=1e-3)
            else:
                assert 1 / (1 + np.exp(-logit)) == pytest.approx(scores.softmax(0)[1].item(), abs=1e-3)
                assert logit == pytest.approx((scores[1] - scores[0]).item(), abs=1e-3)


def test_pictures_and_texts_make_a_difference_and_a_repetition_does_not(folder: Path) -> None:
    reader = TorchPairReader(folder)

    def read(seed: int) -> list[list[float]]:
        torch.manual_seed(seed)
        return [reader.logits(TEXTS, picture).tolist() for picture in pictures()]

    first, again = read(1), read(2)

    assert len({round(logit, 4) for logits in first for logit in logits}) == 12
    assert first == again


def test_the_end_of_a_long_text_is_not_read(folder: Path) -> None:
    reader, [picture, *_] = TorchPairReader(folder), pictures()

    long, longer = reader.logits(["a dog in snow " * 100, "a dog in snow " * 200], picture)

    assert long == pytest.approx(longer, abs=1e-6)


@pytest.mark.parametrize("family", ["BridgeTower", "ViLT"])
def test_a_picture_that_becomes_too_narrow_is_an_error_of_the_picture(family: str, tmp_path: Path) -> None:
    reader = TorchPairReader(make_tiny_matching_model(tmp_path, family))

    with pytest.raises(PictureError, match="cannot read this picture"):
        reader.logits(["a dog"], Image.new("RGB", (4000, 20)))


@pytest.mark.parametrize(
    ("family", "kind"),
    [("BLIP", "BlipForConditionalGeneration"), ("BridgeTower", "BridgeTowerForMaskedLM"), ("ViLT", "ViltForMaskedLM")],
)
def test_a_model_of_such_a_family_without_the_head_is_refused(family: str, kind: str, tmp_path: Path) -> None:
    make_tiny_matching_model(tmp_path, family, kind=kind)

    with pytest.raises(CheckpointInvalid, match=f"{tmp_path} has no image-text matching head"):
        TorchPairReader(tmp_path)


def test_other_models_have_no_head(tmp_path: Path) -> None:
    for folder in (SHIPPED, make_tiny_dual_encoder(tmp_path, "CLIP")):
        with pytest.raises(CheckpointInvalid, match="has no image-text matching head"):
            TorchPairReader(folder)


def test_it_cannot_be_searched_with(folder: Path) -> None:
    with pytest.raises(CheckpointInvalid, match=r"has no embeddings to search with\. .*--rerank-model"):
        load_runtime(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", None, "has no weights in safetensors: only pytorch_model.bin, a pickle"),
        ("model.safetensors", b"\x08\0\0\0\0\0\0\0{}      ", "no image-text matching head|lacks"),
        ("model.safetensors", b"cut", "the weights in .* cannot be read"),
        ("tokenizer.json", None, "no tokenizer|processor in .* cannot be read"),
        ("processor_config.json", b"[", "the processor in .* cannot be read"),
    ],
)
def test_what_is_missing_or_damaged_is_one_line(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    folder = make_tiny_matching_model(tmp_path, "BLIP")
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)

    with pytest.raises(CheckpointInvalid, match=message) as raised:
        TorchPairReader(folder)

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("family", "file", "part", "values"),
    [
        ("BridgeTower", "config.json", "text_config", {"pad_token_id": None}),
        ("BLIP", "processor_config.json", "image_processor", {"size": {}}),
        ("BLIP", "processor_config.json", "image_processor", {"size": None}),
        ("BLIP", "config.json", "text_config", 3),
    ],
)
def test_settings_that_make_no_sense_are_one_line(
    tmp_path: Path, family: str, file: str, part: str, values: Any
) -> None:
    folder = make_tiny_matching_model(tmp_path, family)
    settings = json.loads((folder / file).read_text())
    settings[part] = settings[part] | values if isinstance(values, dict) else values
    (folder / file).write_text(json.dumps(settings))

    with pytest.raises(CheckpointInvalid) as raised:
        TorchPairReader(folder)

    assert "\n" not in str(raised.value)


def test_nothing_waits_for_a_pipe(tmp_path: Path) -> None:
    folder = make_tiny_matching_model(tmp_path, "BLIP")
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")

    with in_time(30), pytest.raises(CheckpointInvalid, match=r"tokenizer\.json cannot be read"):
        TorchPairReader(folder)
