"""Converts a dual encoder in transformers format into the files that a search needs. Requires torch.

The preprocessing and the tokenizer are rebuilt from the model's settings. Finally, embeddings are compared with those
that transformers computes. If any differ, the conversion fails and the folder stays as it was. Searches never run
this code.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from pixsearch.model.torch_towers import PictureTower, TextTower, hashes_of_weights, load_dual_encoder
from pixsearch.model.transformers_folder import load_part, require_tokenizer

from transformers import AutoImageProcessor, AutoTokenizer  # isort: skip

import pixsearch.model.openvino_alone  # noqa: F401

import openvino  # isort: skip
from openvino.tools.ovc import convert_model  # isort: skip
from pixsearch.durable import rename_durably, write_durably
from pixsearch.errors import CheckpointInvalid
from pixsearch.model.checkpoints import TOKENIZER_FILE, fingerprint
from pixsearch.model.compiled_forwards import CompiledTowers
from pixsearch.model.dual_encoder import DualEncoderRuntime
from pixsearch.model.dual_encoder_config import (
    DUAL_ENCODER_FILE,
    DUAL_TOKENIZER_FILE,
    TOWERS,
    DualEncoderConfig,
    graph_files,
    sha256_of,
)
from pixsearch.model.number_formats import NumberFormats

LEAST_COSINE = 0.999
"""The minimum cosine between each embedding and the one that transformers computes."""
_SCRATCH = ".pixsearch-"
_USUAL_TOKENS = 64
"""The number of tokens to which transformers pads SigLIP texts."""
_MOST_TOKENS = 512
_REPORT = "Please report it with the name of the model"
_SIZES = (640, 480), (480, 640), (97, 203), (1200, 300)
_TEXTS = (
    "a photo of a dog",
    "Two CATS on a red Sofa, sleeping!",
    "Grüße aus München: naïve café, façade",
    "一只狗在雪地里",
    "  spaces   and\ttabs ",
    "?",
    "a street at night with many people, cars and lights " * 60,
)


def convert(folder: Path) -> None:
    """Write dual_encoder.json, dual_tokenizer.json and the graphs of both towers to the folder of a model.

    Raises:
        CheckpointInvalid: the model is not a dual encoder, a file is missing or damaged, or its preprocessing of
            pictures or texts is not supported. The files of an earlier conversion are left as they were.
    """
    model = load_dual_encoder(folder)
    processor = load_part(folder, "image processor", AutoImageProcessor.from_pretrained)
    tokenizer = load_part(folder, "tokenizer", AutoTokenizer.from_pretrained)
    require_tokenizer(folder, tokenizer)
    fast = _fast_tokenizer(folder, tokenizer)
    for left in folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as name, torch.inference_mode():
            scratch = Path(name)
            config = _convert_into(scratch, folder, model, processor, tokenizer, fast)
            runtime = DualEncoderRuntime(scratch, towers=_uncached(scratch))
            runtime.name = str(folder)  # for error messages
            _compare(folder, runtime, model, processor, tokenizer, config)
            for file in sorted(scratch.iterdir(), key=lambda file: file.name == DUAL_ENCODER_FILE):
                rename_durably(file, folder / file.name)
    except OSError as error:
        raise CheckpointInvalid(
            f"cannot write to {folder} ({error.strerror})", "Free some space, or copy the model to another folder"
        ) from error


def _convert_into(
    scratch: Path, folder: Path, model: Any, processor: Any, tokenizer: Any, fast: Tokenizer
) -> DualEncoderConfig:
    factors, offsets = _normalisation(folder, processor)
    shape = _picture_shape(folder, processor)
    width, height = shape["crop"] or (shape["input_size"], shape["input_size"])
    is_padded = _is_padded(model)
    most = _most_tokens(model, tokenizer)
    ids = torch.full((2, most if is_padded else 7), 3)
    pictures, texts = PictureTower(model, factors, offsets), TextTower(model)
    examples = {
        "pictures": (pictures, torch.zeros(2, height, width, 3, dtype=torch.uint8), (-1, height, width, 3)),
        "texts": (texts, ids, (-1, most if is_padded else -1)),
    }
    for name in TOWERS:
        _save_graph(scratch / graph_files(name)[0], *examples[name])
    fast.enable_truncation(most, direction=tokenizer.truncation_side)
    fast.no_padding()
    pad_id = tokenizer.pad_token_id or 0
    if is_padded:
        fast.enable_padding(
            direction=tokenizer.padding_side, pad_id=pad_id, pad_token=tokenizer.pad_token or "", length=most
        )
    write_durably(scratch / DUAL_TOKENIZER_FILE, fast.to_str().encode())
    scale, bias = _scale_and_bias(model)
    config = DualEncoderConfig(
        model_type=model.config.model_type,
        embedding_size=texts(ids).shape[1],
        pixel_factors=factors,
        pixel_offsets=offsets,
        vocabulary_size=model.config.text_config.vocab_size,
        max_tokens=most,
        pad_id=pad_id,
        scale=scale,
        bias=bias,
        is_sigmoid=is_padded,
        weights=hashes_of_weights(folder),
        graphs={file: sha256_of(scratch / file) for name in TOWERS for file in graph_files(name)},
        **shape,
    )
    config.save(scratch / DUAL_ENCODER_FILE)
    return config


def _fast_tokenizer(folder: Path, tokenizer: Any) -> Tokenizer:
    """Return the tokenizer for the tokenizers library. Raises CheckpointInvalid if the library cannot load it."""
    if tokenizer.is_fast:
        return Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    file = folder / TOKENIZER_FILE
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises bare Exception for every kind of failure
        raise CheckpointInvalid(f"{folder} has no tokenizer.json", "Use a model that has one") from error


def _picture_shape(folder: Path, processor: Any) -> dict[str, Any]:
    """Return the config fields for scaling pictures to the network's input size.

    Raises CheckpointInvalid for unsupported settings.
    """

    def length(name: str, edge: str) -> int | None:
        size = getattr(processor, name, None)
        return size.get(edge) if isinstance(size, dict) else getattr(size, edge, None)

    height, width, shortest = (length("size", edge) for edge in ("height", "width", "shortest_edge"))
    crop = None
    if getattr(processor, "do_center_crop", None):
        crop = length("crop_size", "width"), length("crop_size", "height")
    input_size = shortest or height or 0
    is_square = shortest is not None or (input_size > 0 and height == width)
    is_known = getattr(processor, "do_resize", None) and not getattr(processor, "do_pad", None) and is_square
    is_inside = all(edge is not None and edge <= input_size for edge in crop) if crop else shortest is None
    if not is_known or not is_inside:
        raise CheckpointInvalid(f"{folder} uses unsupported picture preprocessing", _REPORT)
    return {
        "input_size": input_size,
        "resize": "squash" if shortest is None else "shorter_edge",
        "resample": Image.Resampling(int(processor.resample)).name.lower(),
        "crop": crop,
    }


def _normalisation(folder: Path, processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the factors and offsets that convert RGB values from 0 to 255 to the network's input.

    They are measured with single-colour pictures, so it does not matter how the processor works. Raises
    CheckpointInvalid if the conversion is not linear.
    """

    def seen(grey: int) -> NDArray[np.float64]:
        pixels = processor(images=[Image.new("RGB", (320, 320), (grey,) * 3)], return_tensors="np")["pixel_values"]
        middle: NDArray[np.float64] = np.asarray(pixels, np.float64)[0, :, pixels.shape[2] // 2, pixels.shape[3] // 2]
        return middle

    black, grey, white = (seen(level) for level in (0, 51, 255))
    factors = (white - black) / 255
    if black.shape != (3,) or not np.allclose(grey, black + 51 * factors, atol=1e-4):
        raise CheckpointInvalid(f"{folder} uses unsupported colour preprocessing", _REPORT)
    return tuple(factors.tolist()), tuple(black.tolist())


def _is_padded(model: Any) -> bool:
    """Return whether the model is a SigLIP, which is trained with padded texts, no mask and a sigmoid of the logits."""
    return "siglip" in model.config.model_type


def _most_tokens(model: Any, tokenizer: Any) -> int:
    """Return the maximum number of tokens per text that the network accepts."""
    positions = int(getattr(model.config.text_config, "max_position_embeddings", _USUAL_TOKENS))
    if _is_padded(model):
        return min(positions, _USUAL_TOKENS)
    most = min(positions, int(min(tokenizer.model_max_length, _MOST_TOKENS)))
    with suppress(IndexError, RuntimeError):
        model.get_text_features(input_ids=torch.full((1, most), 3))
        return most
    return most - (tokenizer.pad_token_id or 0) - 1  # RoBERTa's positions start after the id of the padding token


def _scale_and_bias(model: Any) -> tuple[float, float]:
    """Return the scale and bias of the model's own logit for a pair, which is scale x cosine + bias."""
    bias = getattr(model, "logit_bias", None)
    if (log_scale := getattr(model, "logit_scale", None)) is not None:
        return float(log_scale.exp()), 0.0 if bias is None else float(bias)
    if (temperature := getattr(model, "temperature", None)) is not None:
        return float(1 / temperature), 0.0
    return 1.0, 0.0


def _save_graph(file: Path, tower: nn.Module, example: Tensor, size: Sequence[int]) -> None:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and tracing turns some values into constants
        traced = torch.jit.trace(tower.eval(), (example,), check_trace=False)
        graph = convert_model(traced, example_input=(example,), input=[openvino.PartialShape(list(size))])
    openvino.save_model(graph, file, compress_to_fp16=True)


def _uncached(scratch: Path) -> CompiledTowers:
    towers = CompiledTowers(scratch, fingerprint(scratch), NumberFormats())
    towers.keep_nothing()
    return towers


def _compare(
    folder: Path,
    runtime: DualEncoderRuntime,
    model: Any,
    processor: Any,
    tokenizer: Any,
    config: DualEncoderConfig,
) -> None:
    """Raise CheckpointInvalid if an embedding differs from the one that transformers computes."""
    noise = np.random.default_rng(0)
    pictures = [_example_picture(noise, *size) for size in _SIZES]
    pictures.append(pictures[0].convert("L").convert("RGB"))
    padding = {"padding": "max_length"} if (is_padded := _is_padded(model)) else {"padding": True}
    tokens = tokenizer(list(_TEXTS), truncation=True, max_length=config.max_tokens, return_tensors="pt", **padding)
    if is_padded:
        tokens = {"input_ids": tokens["input_ids"]}
    pixels = processor(images=pictures, return_tensors="pt")
    # Compute our embeddings first: if the tokenizer does not match the weights, this raises a short error.
    ours = {"pictures": runtime.encode_pictures(pictures)[0], "texts": runtime.embed_texts(_TEXTS)}
    theirs = {"pictures": model.get_image_features(**pixels), "texts": model.get_text_features(**tokens)}
    for name, output in theirs.items():
        features = output if isinstance(output, Tensor) else output.pooler_output
        cosines = (F.normalize(features, dim=-1) * torch.from_numpy(ours[name])).sum(-1)
        if not bool((cosines >= LEAST_COSINE).all()):
            raise CheckpointInvalid(
                f"the converted {folder} embeds {name} differently from transformers (cosine {cosines.min():.4f})",
                _REPORT,
            )


def _example_picture(noise: np.random.Generator, width: int, height: int) -> Image.Image:
    """Return a random picture with large shapes and fine grain."""
    coarse = Image.fromarray(noise.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((width, height))
    grain = noise.integers(-20, 21, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))
