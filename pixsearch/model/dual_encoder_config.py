"""The config of a converted dual encoder, stored as dual_encoder.json next to its files from the Hugging Face Hub.

A dual encoder maps pictures and texts separately into one shared space, as CLIP does. Its folder contains the files
from its repository (config.json, tokenizer, weights in safetensors) and the files that `pixsearch.model.conversion`
creates from them: dual_encoder.json, dual_tokenizer.json, and the graphs of both towers for a CPU.
"""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pixsearch.durable import write_durably
from pixsearch.errors import CheckpointInvalid
from pixsearch.model.config import CONFIG_LIMIT_BYTES, RESAMPLING, RESIZE_MODES, Calibration, InputShape
from pixsearch.model.matching_heads import is_matching, only_matching
from pixsearch.regular_files import MODEL_LIMIT_BYTES, open_regular, read_regular

DUAL_ENCODER_FILE, DUAL_TOKENIZER_FILE = "dual_encoder.json", "dual_tokenizer.json"
TOWERS = ("pictures", "texts")
_MOST = {
    "embedding_size": 16_384,
    "input_size": 4096,
    "max_tokens": 4096,
    "vocabulary_size": 4_000_000,
}
"""The maximum values: larger than any real model needs, but small enough that loading can be attempted."""
_LARGEST = 1e6


@dataclass(frozen=True)
class DualEncoderConfig:
    """Everything that a dual encoder's embeddings and scores depend on."""

    model_type: str
    """The name of the model type in transformers."""
    embedding_size: int
    input_size: int
    """The edge of the square to which a picture is squashed, or the shorter edge of the scaled picture, in pixels."""
    resize: str
    """One of RESIZE_MODES."""
    resample: str
    crop: tuple[int, int] | None
    """The width and height of the centre crop taken from a resized picture; None to use the whole picture."""
    pixel_factors: tuple[float, ...]
    pixel_offsets: tuple[float, ...]
    """The offsets for red, green and blue. A value from 0 to 255 is converted to factor x value + offset."""
    vocabulary_size: int
    max_tokens: int
    """The maximum number of tokens in a text. The tokenizer truncates longer texts, and pads shorter ones if the model
    requires it."""
    pad_id: int
    """The id of the token that stands for a text without tokens."""
    scale: float
    bias: float
    """The bias of the model's own logit for a pair, which is scale x cosine + bias."""
    is_sigmoid: bool
    """True if the sigmoid of the logit is a probability, as in SigLIP's training."""
    weights: dict[str, str]
    """The SHA-256 of each weights file and of config.json, by file name."""
    graphs: dict[str, str]
    """The SHA-256 of each graph file. Not part of the fingerprint, because graphs may vary with OpenVINO's version."""
    calibration: Calibration | None = None
    """The calibration written by `pixsearch calibrate`; None for an uncalibrated model."""

    @property
    def input_shape(self) -> InputShape:
        return InputShape(self.input_size, 0, self.resize, self.resample, self.crop)

    @property
    def seen_size(self) -> tuple[int, int]:
        """The width and height of the network's input."""
        return self.crop or (self.input_size, self.input_size)

    def save(self, file: Path) -> None:
        """Write dual_encoder.json."""
        write_durably(file, (json.dumps(asdict(self), indent=2) + "\n").encode())

    def identity(self) -> bytes:
        """Return the fields that are part of the fingerprint, as JSON: all except the graphs and the calibration."""
        values = asdict(self) | {"graphs": None, "calibration": None}
        return json.dumps(values, sort_keys=True).encode()

    @classmethod
    def load(cls, file: Path) -> DualEncoderConfig:
        """Read dual_encoder.json.

        Raises:
            CheckpointInvalid: the file is missing or not JSON, or a field is missing, unknown or invalid.
        """
        convert = f"Convert the model again with: {command_to_convert(file.parent)}"
        try:
            return cls(**_checked(json.loads(read_regular(file, CONFIG_LIMIT_BYTES))))
        except FileNotFoundError as error:
            if is_matching(file.parent):
                raise only_matching(str(file.parent)) from error
            raise CheckpointInvalid(
                f"{file.parent} is a transformers model that has not been converted",
                f"Convert it with: {command_to_convert(file.parent)}",
            ) from error
        except RecursionError as error:
            raise CheckpointInvalid(f"{file} is nested too deeply", convert) from error
        except (OSError, ValueError, TypeError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CheckpointInvalid(f"{file} is not a valid dual encoder config ({reason})", convert) from error


def _checked(values: Any) -> dict[str, Any]:
    """Check the values in the file and return them as fields of a config. Raises ValueError, TypeError."""
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(DualEncoderConfig)}:
        raise ValueError("its fields do not match this version of pixsearch")
    for name, most in _MOST.items():
        if type(values[name]) is not int or not 1 <= values[name] <= most:
            raise ValueError(f"{name} must be an integer from 1 to {most}")
    if type(values["pad_id"]) is not int or not 0 <= values["pad_id"] < values["vocabulary_size"]:
        raise ValueError(f"invalid pad_id: {values['pad_id']!r}")
    if type(values["is_sigmoid"]) is not bool:
        raise TypeError(f"invalid is_sigmoid: {values['is_sigmoid']!r}")
    for name, known in (("resize", RESIZE_MODES), ("resample", RESAMPLING)):
        if values[name] not in known:
            raise ValueError(f"invalid {name}: {values[name]!r}")
    for name in ("weights", "graphs"):
        if not isinstance(values[name], dict) or not all(_is_hash(one) for one in values[name].values()):
            raise TypeError(f"invalid {name}: {values[name]!r}")
    values["scale"], values["bias"] = _numbers([values["scale"], values["bias"]], 2)
    for name in ("pixel_factors", "pixel_offsets"):
        values[name] = _numbers(values[name], 3)
    if (crop := values["crop"]) is not None:
        if not isinstance(crop, list) or len(crop) != 2 or any(type(edge) is not int for edge in crop):
            raise TypeError(f"invalid crop: {crop!r}")
        if not all(1 <= edge <= values["input_size"] for edge in crop):
            raise ValueError(f"crop must be from 1 to {values['input_size']}, got {crop!r}")
        values["crop"] = tuple(crop)
    elif values["resize"] != "squash":
        raise ValueError("crop must be set unless resize is 'squash'")
    values["calibration"] = None if (made := values["calibration"]) is None else Calibration.of(made)
    if not isinstance(values["model_type"], str):
        raise TypeError(f"invalid model_type: {values['model_type']!r}")
    return values


def _numbers(values: Any, count: int) -> tuple[float, ...]:
    """Return a list of numbers as floats. Raises TypeError unless it has `count` numbers within range."""
    if not isinstance(values, list) or len(values) != count:
        raise TypeError(f"{values!r} is not a list of {count} numbers")
    if any(type(one) not in (int, float) or not math.isfinite(one) or abs(one) > _LARGEST for one in values):
        raise TypeError(f"{values!r} must only contain numbers from -{_LARGEST:,.0f} to {_LARGEST:,.0f}")
    return tuple(map(float, values))


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64


def command_to_convert(folder: Path) -> str:
    """Return the command that converts a model in transformers format."""
    return f"pixsearch add-graphs {shlex.quote(str(folder))}"


def graph_files(tower: str) -> tuple[str, str]:
    """Return the names of the two OpenVINO files for a tower: the graph and its weights."""
    return f"{tower}.xml", f"{tower}.bin"


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a weights or graph file. Raises OSError."""
    with open_regular(file, MODEL_LIMIT_BYTES) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
