"""The config of a converted dual encoder, in dual_encoder.json beside its files from the Hugging Face hub.

A dual encoder maps pictures and texts into one space, each alone, as CLIP does. Its folder has the files of its
repository (config.json, tokenizer, weights in safetensors) and what `pixsearch.model.conversion` makes of them:
dual_encoder.json, dual_tokenizer.json, and the graphs of both towers for a CPU.
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
"""Beyond every model that there is, and within what a machine can begin to compute."""
_LARGEST = 1e6


@dataclass(frozen=True)
class DualEncoderConfig:
    """Everything that a dual encoder's embeddings and scores depend on."""

    model_type: str
    """The model type as transformers names it."""
    embedding_size: int
    input_size: int
    """Edge of the square that a picture is squashed to, or its shorter edge."""
    resize: str
    """One of RESIZE_MODES."""
    resample: str
    crop: tuple[int, int] | None
    """Width and height of the middle that the network sees; None where it sees all."""
    pixel_factors: tuple[float, ...]
    pixel_offsets: tuple[float, ...]
    """The network's input for red, green and blue from 0 to 255: factor x value + offset."""
    vocabulary_size: int
    max_tokens: int
    """Beyond which a text is cut off, by the tokenizer's own file, which also pads where the model wants it."""
    pad_id: int
    """The token that a text without any has."""
    scale: float
    bias: float
    """The model's own logit of a pair: scale x cosine + bias."""
    is_sigmoid: bool
    """True if the sigmoid of the logit is a probability, as in SigLIP's training."""
    weights: dict[str, str]
    """SHA-256 of each file of weights."""
    graphs: dict[str, str]
    """SHA-256 of each file of the graphs. They are no part of the fingerprint: another OpenVINO may make others."""
    calibration: Calibration | None = None
    """Made by `pixsearch calibrate`."""

    @property
    def input_shape(self) -> InputShape:
        return InputShape(self.input_size, 0, self.resize, self.resample, self.crop)

    @property
    def seen_size(self) -> tuple[int, int]:
        """Width and height of what the network sees of every picture."""
        return self.crop or (self.input_size, self.input_size)

    def save(self, file: Path) -> None:
        """Write dual_encoder.json."""
        write_durably(file, (json.dumps(asdict(self), indent=2) + "\n").encode())

    def identity(self) -> bytes:
        """Return what a fingerprint takes of it: nothing that leaves embeddings as they are."""
        values = asdict(self) | {"graphs": None, "calibration": None}
        return json.dumps(values, sort_keys=True).encode()

    @classmethod
    def load(cls, file: Path) -> DualEncoderConfig:
        """Read dual_encoder.json.

        Raises:
            CheckpointInvalid: it is missing, not JSON, or a field is missing, unknown or impossible.
        """
        convert = f"Convert the model again with: {command_to_convert(file.parent)}"
        try:
            return cls(**_checked(json.loads(read_regular(file, CONFIG_LIMIT_BYTES))))
        except FileNotFoundError as error:
            if is_matching(file.parent):
                raise only_matching(str(file.parent)) from error
            raise CheckpointInvalid(
                f"{file.parent} is a model of transformers that has not been converted",
                f"Convert it with: {command_to_convert(file.parent)}",
            ) from error
        except RecursionError as error:
            raise CheckpointInvalid(f"{file} is nested too deeply", convert) from error
        except (OSError, ValueError, TypeError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CheckpointInvalid(f"{file} does not describe a dual encoder ({reason})", convert) from error


def _checked(values: Any) -> dict[str, Any]:
    """Return the fields that the file's values stand for. Raises ValueError, TypeError."""
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(DualEncoderConfig)}:
        raise ValueError("its fields are not those of this version of pixsearch")
    for name, most in _MOST.items():
        if type(values[name]) is not int or not 1 <= values[name] <= most:
            raise ValueError(f"{name} is not from 1 to {most}")
    if type(values["pad_id"]) is not int or not 0 <= values["pad_id"] < values["vocabulary_size"]:
        raise ValueError(f"pad_id is {values['pad_id']!r}")
    if type(values["is_sigmoid"]) is not bool:
        raise TypeError(f"is_sigmoid is {values['is_sigmoid']!r}")
    for name, known in (("resize", RESIZE_MODES), ("resample", RESAMPLING)):
        if values[name] not in known:
            raise ValueError(f"{name} is {values[name]!r}")
    for name in ("weights", "graphs"):
        if not isinstance(values[name], dict) or not all(_is_hash(one) for one in values[name].values()):
            raise TypeError(f"{name} is {values[name]!r}")
    values["scale"], values["bias"] = _numbers([values["scale"], values["bias"]], 2)
    for name in ("pixel_factors", "pixel_offsets"):
        values[name] = _numbers(values[name], 3)
    if (crop := values["crop"]) is not None:
        if not isinstance(crop, list) or len(crop) != 2 or any(type(edge) is not int for edge in crop):
            raise TypeError(f"crop is {crop!r}")
        if not all(1 <= edge <= values["input_size"] for edge in crop):
            raise ValueError(f"crop is {crop!r}, and the picture has an edge of {values['input_size']}")
        values["crop"] = tuple(crop)
    elif values["resize"] != "squash":
        raise ValueError("crop is None, and pictures keep their shape")
    values["calibration"] = None if (made := values["calibration"]) is None else Calibration.of(made)
    if not isinstance(values["model_type"], str):
        raise TypeError(f"model_type is {values['model_type']!r}")
    return values


def _numbers(values: Any, count: int) -> tuple[float, ...]:
    """Raises TypeError for anything but so many numbers of some size."""
    if not isinstance(values, list) or len(values) != count:
        raise TypeError(f"{values!r} is not a list of {count} numbers")
    if any(type(one) not in (int, float) or not math.isfinite(one) or abs(one) > _LARGEST for one in values):
        raise TypeError(f"{values!r} contains something other than numbers")
    return tuple(map(float, values))


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64


def command_to_convert(folder: Path) -> str:
    """Return the command that converts a model of transformers' format."""
    return f"pixsearch add-graphs {shlex.quote(str(folder))}"


def graph_files(tower: str) -> tuple[str, str]:
    """Return the names of OpenVINO's two files for a tower: the graph and its weights."""
    return f"{tower}.xml", f"{tower}.bin"


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file of weights or of a graph. Raises OSError."""
    with open_regular(file, MODEL_LIMIT_BYTES) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
