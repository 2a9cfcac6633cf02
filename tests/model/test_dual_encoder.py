"""Converted dual encoders from transformers: the same embeddings as in transformers, and errors for other models."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pixsearch.errors import CheckpointInvalid, ModelError, ModelNotFound, UsageError, WordsNotLocated
from pixsearch.model.checkpoints import (
    checkpoint_name,
    find_checkpoint,
    fingerprint,
    hub_folder,
    load_network,
    save_calibration,
)
from pixsearch.model.compiled_forwards import CompiledTowers
from pixsearch.model.config import Calibration, Curve
from pixsearch.model.conversion import convert
from pixsearch.model.dual_encoder import DualEncoderRuntime
from pixsearch.model.load_runtime import load_runtime
from pixsearch.model.number_formats import NumberFormats
from pixsearch.model.torch_towers import TorchTowers
from pixsearch.pictures import as_seen, open_picture
from tests.model.dual_encoders import Floats, transformers_pictures, transformers_texts
from tests.tiny_dual_encoders import FAMILIES, make_tiny_dual_encoder

from transformers import BertConfig, BertModel  # isort: skip

TEXTS = [
    "a photo of a dog",
    "A Photo of a DOG!",
    "Straße im Schnee, über 3 Häuser: café",
    "一只狗在雪地里",
    "?!",
    "two   cats\ton a red sofa",
    "a dog and a cat and a horse on a beach at night " * 30,
]


@pytest.fixture
def clip(converted: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a converted CLIP model that tests may change."""
    return Path(shutil.copytree(converted("CLIP"), tmp_path / "clip"))


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Pictures as pixsearch decodes them, including transparent and grey ones, in odd sizes."""
    noise = np.random.default_rng(1)

    def made(width: int, height: int, mode: str) -> Image.Image:
        coarse = Image.fromarray(noise.integers(0, 256, (6, 5, 4), dtype=np.uint8)).resize((width, height))
        file = io.BytesIO()
        coarse.convert(mode).save(file, "PNG")
        return open_picture(file.getvalue())

    sizes = [(640, 480, "RGB"), (480, 640, "RGB"), (97, 203, "RGBA"), (64, 33, "L"), (700, 90, "RGB"), (20, 11, "RGB")]
    return [made(*size) for size in sizes]


def in_fp32(folder: Path) -> DualEncoderRuntime:
    """Return the runtime for a folder in fp32, so that results are comparable on every machine."""
    return DualEncoderRuntime(folder, towers=CompiledTowers(folder, fingerprint(folder), NumberFormats()))


def least_cosine(ours: Floats, theirs: Floats) -> float:
    return float((ours * theirs).sum(1).min())


@pytest.mark.parametrize("family", FAMILIES)
def test_its_embeddings_are_those_of_transformers_compiled_and_in_torch(
    converted: Callable[[str], Path], pictures: list[Image.Image], family: str
) -> None:
    folder = converted(family)
    their_pictures, their_texts = transformers_pictures(folder, pictures), transformers_texts(folder, TEXTS)

    for towers in (
        CompiledTowers(folder, fingerprint(folder), NumberFormats()),
        TorchTowers(folder, torch.device("cpu")),
    ):
        runtime = DualEncoderRuntime(folder, towers=towers)
        our_pictures, our_texts = runtime.encode_pictures(pictures)[0], runtime.embed_texts(TEXTS)

        assert our_pictures.dtype == our_texts.dtype == np.float32
        assert least_cosine(our_pictures, their_pictures) > 0.999
        assert least_cosine(our_texts, their_texts) > 0.999
    # clearly distinct pictures and texts
    assert (their_pictures @ their_pictures.T).min() < 0.99
    assert (their_texts @ their_texts.T).min() < 0.99


def test_upper_case_counts_only_where_the_tokenizer_keeps_it(converted: Callable[[str], Path]) -> None:
    lowered = in_fp32(converted("SigLIP 2")).embed_texts(["a dog", "A DOG"])
    kept = in_fp32(converted("MetaCLIP 2")).embed_texts(["a dog", "A DOG"])

    assert lowered[0].tolist() == lowered[1].tolist()
    assert kept[0] @ kept[1] < 0.99


def test_a_long_panorama_is_cut_before_it_is_resized(converted: Callable[[str], Path]) -> None:
    runtime = in_fp32(converted("CLIP"))

    seen = as_seen(Image.new("RGB", (60_000, 2), "red"), runtime.input_shape)  # resized as a whole: 960,000 x 32

    assert seen.size == (32, 32)


def test_texts_are_embedded_alike_alone_and_among_others(converted: Callable[[str], Path]) -> None:
    runtime = in_fp32(converted("AltCLIP"))

    together = runtime.embed_texts(TEXTS)

    assert least_cosine(together, np.concatenate([runtime.embed_texts([text]) for text in TEXTS])) > 0.99999


def test_a_late_score_is_the_models_own_logit(converted: Callable[[str], Path], pictures: list[Image.Image]) -> None:
    runtime = in_fp32(converted("SigLIP"))
    embeddings, grids = runtime.encode_pictures(pictures)
    texts = runtime.read_texts(TEXTS)

    scores = runtime.late_scores(texts, grids, embeddings)

    cosines = runtime.embed_texts(TEXTS) @ embeddings.T
    assert scores == pytest.approx(np.exp(2.0) * cosines - 4.0, abs=1e-4)  # the model's logit_scale and logit_bias


def test_the_sigmoid_of_siglips_logit_is_a_probability_and_clip_has_none(converted: Callable[[str], Path]) -> None:
    scores = np.array([0.0, np.log(3), -np.log(3)], np.float32)

    siglip, clip = (load_runtime(converted(family), gpu=False) for family in ("SigLIP", "CLIP"))

    of_siglip = siglip.probability(scores, "late")
    assert of_siglip is not None
    assert of_siglip.tolist() == pytest.approx([0.5, 0.75, 0.25])
    assert siglip.probability(scores, "joint") is None
    assert clip.probability(scores, "late") is None


def test_a_calibration_takes_the_place_of_the_models_own_and_leaves_the_fingerprint(
    converted: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(converted("SigLIP"), tmp_path / "siglip"))
    before = fingerprint(folder)

    save_calibration(folder, Calibration(None, Curve(2.0, -1.0)))

    probability = load_runtime(folder, gpu=False).probability(np.array([0.5], np.float32), "late")
    assert probability is not None
    assert probability.tolist() == [0.5]
    assert fingerprint(folder) == before


def test_it_reads_no_words_together_with_pixels(clip: Path, pictures: list[Image.Image]) -> None:
    runtime = in_fp32(clip)
    _, grids = runtime.encode_pictures(pictures[:1])
    texts = runtime.read_texts(["a dog"])

    assert not runtime.reads_pairs
    assert runtime.default_order == "similarity"
    assert runtime.unknown_words("a zyzzyva") == ()
    with pytest.raises(ModelError, match=r"does not support re-ranking\. Use a Pixel-BERT checkpoint"):
        runtime.match(texts, grids, np.zeros(1, np.float32))
    with pytest.raises(WordsNotLocated, match=r"cannot locate words in a picture: .*\. Use a Pixel-BERT checkpoint"):
        runtime.locate_words("a dog", grids[0], 640, 480)


def test_copies_of_a_photo_are_alike_and_other_photos_are_not(clip: Path, pictures: list[Image.Image]) -> None:
    runtime = in_fp32(clip)
    photo, other = pictures[:2]
    small = photo.resize((320, 240))
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=30)
    plain = [Image.new("RGB", (64, 64), colour) for colour in ("red", "red", "maroon")]

    _, grids = runtime.encode_pictures([photo, small, open_picture(file.getvalue()), other, *plain])

    assert runtime.likeness(grids[0], grids[0]) == pytest.approx(1)
    assert min(runtime.likeness(grids[0], grids[1]), runtime.likeness(grids[0], grids[2])) > 0.95
    assert runtime.likeness(grids[0], grids[3]) < 0.85
    assert runtime.likeness(grids[4], grids[5]) == 1
    assert runtime.likeness(grids[4], grids[6]) < 0.85


def test_converting_again_leaves_the_fingerprint(clip: Path) -> None:
    before, files = fingerprint(clip), sorted(clip.iterdir())

    convert(clip)

    assert fingerprint(clip) == before
    assert sorted(clip.iterdir()) == files


@pytest.mark.parametrize("what", ["weights", "tokenizer", "settings"])
def test_other_weights_settings_or_another_tokenizer_have_another_fingerprint(clip: Path, what: str) -> None:
    before = fingerprint(clip)
    if what == "settings":  # CLIP and OpenCLIP differ only in the activation
        config = json.loads((clip / "config.json").read_text())
        for tower in ("text_config", "vision_config"):
            config[tower]["hidden_act"] = "gelu"
        (clip / "config.json").write_text(json.dumps(config))
    elif what == "weights":
        weights = load_file(clip / "model.safetensors")
        save_file({name: tensor * 1.01 for name, tensor in weights.items()}, clip / "model.safetensors")
    else:
        tokenizer = json.loads((clip / "tokenizer.json").read_text())
        words = tokenizer["model"]["vocab"]
        words["a</w>"], words["b</w>"] = words["b</w>"], words["a</w>"]
        (clip / "tokenizer.json").write_text(json.dumps(tokenizer))

    convert(clip)

    assert fingerprint(clip) != before


def test_a_cpu_needs_no_weights_any_more(clip: Path, pictures: list[Image.Image]) -> None:
    (clip / "model.safetensors").unlink()

    assert in_fp32(clip).encode_pictures(pictures)[0].shape == (len(pictures), 16)


def test_a_model_of_the_hub_has_its_name_there(
    converted: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = hub_folder("hub:org/tiny-clip")
    shutil.copytree(converted("CLIP"), folder)

    assert find_checkpoint("hub:org/tiny-clip") == folder
    assert checkpoint_name(folder) == "hub:org/tiny-clip"
    assert load_runtime(folder, gpu=False).name == "hub:org/tiny-clip"


def test_a_model_of_the_hub_that_is_not_there_is_one_line_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    with pytest.raises(ModelNotFound) as refused:
        find_checkpoint("hub:org/name")

    assert str(refused.value) == (
        "the model hub:org/name is not on this machine. Download it with: pixsearch model get hub:org/name"
    )


@pytest.mark.parametrize("name", ["hub:", "hub:name", "hub:a/b/c", "hub:../x", "hub:a/..", "hub:a--b/c", "hub:a b/c"])
def test_what_is_no_name_of_the_hub_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not a valid name for a model on the Hub"):
        find_checkpoint(name)


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def _lacking(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in weights.items() if name != "text_projection.weight"},
        folder / "model.safetensors",
    )


def _bert(folder: Path) -> None:
    shutil.rmtree(folder)
    BertModel(
        BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    ).save_pretrained(folder)


def _of_unknown_type(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "oracle", "auto_map": {"AutoModel": "evil.Oracle"}}')
    (folder / "evil.py").write_text("raise SystemExit('code of the folder was run')")


def _without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def _with_the_tokenizer_of_another(folder: Path) -> None:
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    tokenizer["model"]["vocab"] |= {"d</w>": 5000}
    file.write_text(json.dumps(tokenizer))


def _padded_pictures(folder: Path) -> None:
    file = folder / "preprocessor_config.json"
    file.write_text(
        json.dumps(json.loads(file.read_text()) | {"do_pad": True, "pad_size": {"height": 50, "width": 50}})
    )


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (_bert, r"is not a dual encoder: bert does not embed both texts and images"),
        (_without_weights, r"has no weights in safetensors: only pytorch_model\.bin, a pickle, which can run code"),
        (_truncated, r"the weights in .* cannot be read"),
        (_lacking, r"lacks 1 of its weights \(text_projection\.weight \.\.\)"),
        (_of_unknown_type, r"transformers does not support the model type in config\.json"),
        (_without_tokenizer, r"has no tokenizer"),
        (_with_the_tokenizer_of_another, r"/model: dual_tokenizer\.json does not match the weights"),
        (_padded_pictures, r"uses unsupported picture preprocessing"),
    ],
)
def test_what_cannot_be_converted_is_refused_in_one_line_and_left_as_it_was(
    tmp_path: Path, damage: Callable[[Path], None], line: str
) -> None:
    folder = make_tiny_dual_encoder(tmp_path / "model", "CLIP")
    damage(folder)
    before = {file: file.read_bytes() for file in folder.iterdir()}

    with pytest.raises(CheckpointInvalid, match=line) as refused:
        convert(folder)

    assert "\n" not in str(refused.value)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_an_embedding_that_is_not_transformers_own_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_tiny_dual_encoder(tmp_path / "model", "CLIP")
    monkeypatch.setattr("pixsearch.model.conversion._normalisation", lambda *_: ((1 / 255,) * 3, (0.0,) * 3))

    with pytest.raises(CheckpointInvalid, match="embeds pictures differently from transformers"):
        convert(folder)

    assert not (folder / "dual_encoder.json").exists()


def test_a_model_that_was_not_converted_is_refused_with_the_command(tmp_path: Path) -> None:
    folder = make_tiny_dual_encoder(tmp_path / "model", "CLIP")

    with pytest.raises(CheckpointInvalid, match=f"Convert it with: pixsearch add-graphs {folder}"):
        load_runtime(folder, gpu=False)


DAMAGES: dict[str, Any] = {
    "no JSON": "{",
    "nested": "[" * 100_000,
    "a list": "[]",
    "crop": {"crop": [33, 32]},
    "no crop": {"crop": None},
    "size": {"input_size": 0},
    "scale": {"scale": "many"},
    "infinite": {"bias": float("inf")},
    "factors": {"pixel_factors": [1.0]},
    "graphs": {"graphs": {"pictures.xml": "x"}},
    "resample": {"resample": "magic"},
    "sigmoid": {"is_sigmoid": 1},
    "pad": {"pad_id": -1},
    "calibration": {"calibration": {"late": 1}},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_description_is_refused_in_one_line(clip: Path, damage: Any) -> None:
    file = clip / "dual_encoder.json"
    file.write_text(damage if isinstance(damage, str) else json.dumps(json.loads(file.read_text()) | damage))

    with pytest.raises(CheckpointInvalid, match="Convert the model again with: pixsearch add-graphs") as refused:
        load_runtime(clip, gpu=False)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["pictures.bin", "texts.xml", "dual_tokenizer.json"])
def test_a_damaged_graph_or_tokenizer_is_refused_in_one_line(clip: Path, name: str) -> None:
    content = (clip / name).read_bytes()
    (clip / name).write_bytes(content[:-20])

    with pytest.raises(CheckpointInvalid, match=f"{name} is (damaged|not a valid tokenizer)") as refused:
        _use(clip)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["pictures.xml", "texts.bin", "dual_tokenizer.json", "dual_encoder.json"])
def test_a_pipe_is_not_waited_for_when_searching(clip: Path, name: str) -> None:
    (clip / name).unlink()
    os.mkfifo(clip / name)

    with pytest.raises(CheckpointInvalid):
        _use(clip)


@pytest.mark.parametrize("name", ["model.safetensors", "preprocessor_config.json", "tokenizer.json", "config.json"])
def test_a_pipe_is_not_waited_for_when_converting(tmp_path: Path, name: str) -> None:
    folder = make_tiny_dual_encoder(tmp_path / "model", "CLIP")
    (folder / name).unlink()
    os.mkfifo(folder / name)

    with pytest.raises(CheckpointInvalid):
        convert(folder)


def test_a_conversion_that_ended_half_way_is_refused_until_it_is_made_again(clip: Path, tmp_path: Path) -> None:
    other = make_tiny_dual_encoder(tmp_path / "other", "CLIP", seed=1)
    convert(other)
    shutil.copy(other / "pictures.bin", clip / "pictures.bin")

    with pytest.raises(CheckpointInvalid, match=r"pictures\.bin is damaged\. Convert the model again"):
        _use(clip)

    convert(clip)
    _use(clip)


def _use(folder: Path) -> None:
    towers = CompiledTowers(folder, fingerprint(folder), NumberFormats())
    towers.keep_nothing()  # also ignores what was compiled before
    runtime = DualEncoderRuntime(folder, towers=towers)
    runtime.prepare_for_pictures()
    runtime.embed_texts(["a dog"])


def test_weights_that_have_changed_are_not_run_on_a_gpu(clip: Path) -> None:
    weights = load_file(clip / "model.safetensors")
    save_file({name: tensor * 1.01 for name, tensor in weights.items()}, clip / "model.safetensors")

    with pytest.raises(CheckpointInvalid, match="have changed"):
        TorchTowers(clip, torch.device("cpu"))


def test_it_is_no_network_to_train(clip: Path) -> None:
    with pytest.raises(CheckpointInvalid, match="is a dual encoder, not a Pixel-BERT checkpoint"):
        load_network(clip)


def test_a_config_is_read_as_it_was_written(clip: Path) -> None:
    from pixsearch.model.dual_encoder_config import DualEncoderConfig

    config = dataclasses.replace(
        DualEncoderConfig.load(clip / "dual_encoder.json"), calibration=Calibration(None, Curve(1.0, 2.0))
    )
    config.save(clip / "dual_encoder.json")

    assert DualEncoderConfig.load(clip / "dual_encoder.json") == config
