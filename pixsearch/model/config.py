"""The configuration of a Pixel-BERT: every setting that affects its results, stored as config.json with the weights."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pixsearch.durable import write_durably
from pixsearch.errors import CheckpointInvalid
from pixsearch.regular_files import read_regular

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESIZE_MODES = ("squash", "shorter_edge")
RESAMPLING = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
"""Pillow's filters, by their names in lower case."""
TASKS = ("retrieval", "vqa", "nlvr2")
CONFIG_LIMIT_BYTES = 16 << 20
STRIDE = 32  # picture pixels per grid cell, for every backbone
OUTDATED_CALIBRATIONS = ({"temperature", "bias"}, {"slope", "intercept"})
"""The fields of older calibrations, which are dropped: they meant something else, or covered one stage only."""
_AGAIN = "Train or copy the checkpoint again"
_MOST = {
    "input_size": 4096,
    "longest_edge": 16_384,
    "vocabulary_size": 4_000_000,
    "max_words": 4096,
    "width": 16_384,
    "layers": 256,
    "heads": 256,
    "feed_forward": 65_536,
    "embedding_size": 16_384,
    "image_map_hidden": 65_536,
}
"""The largest valid values: more than any real checkpoint needs, and small enough for a machine to try."""
_STEEPEST = 1e6
"""The largest valid number of a calibration curve: beyond it, the curve is a step, steeper than any data can show."""
REMOVED = {"pixel_positions": False, "joint_from_layer": 0}
"""The removed fields of older checkpoints, each with the only value that is still supported."""


Stage = Literal["late", "joint"]
"""The last stage that scored a pair: late interaction, or the joint stream."""


@dataclass(frozen=True)
class Curve:
    """The probability that a person would say that words describe a picture, from a score of the pair.

    It is sigmoid(slope x score + intercept) (Platt, 1999).
    """

    slope: float
    intercept: float

    @classmethod
    def of(cls, values: Any) -> Curve:
        """Read a curve from the values of a config.json. Raises TypeError for anything but two numbers in range."""
        numbers = values.values() if isinstance(values, dict) and set(values) == {"slope", "intercept"} else ()
        if not numbers or any(type(number) not in (int, float) or not abs(number) <= _STEEPEST for number in numbers):
            raise TypeError(f"a curve of its calibration is {values!r}")
        return cls(float(values["slope"]), float(values["intercept"]))

    def probability(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability for each score."""
        import numpy  # for those who have scores: a run that finds nothing new needs none of it

        # The sigmoid, written so that a hopeless pair overflows nothing.
        probabilities: NDArray[np.float32] = numpy.exp(-numpy.logaddexp(0, -(self.slope * scores + self.intercept)))
        return probabilities


@dataclass(frozen=True)
class Calibration:
    """A curve for each stage that may have scored a pair last, so that probabilities are comparable."""

    joint: Curve | None
    """The curve from the ITM logit; None for a model that has none."""
    late: Curve
    """The curve from the late score."""

    @classmethod
    def of(cls, values: Any) -> Calibration:
        """Read a calibration from the values of a config.json. Raises TypeError for anything else."""
        if not isinstance(values, dict) or set(values) != {"joint", "late"}:
            raise TypeError(f"calibration is {values!r}")
        return cls(None if values["joint"] is None else Curve.of(values["joint"]), Curve.of(values["late"]))


@dataclass(frozen=True, slots=True)
class InputShape:
    """The fields of a config that determine the input size of a network, for processes that only decode."""

    input_size: int
    longest_edge: int
    resize: str
    resample: str = "bicubic"
    """One of `RESAMPLING`."""
    crop: tuple[int, int] | None = None
    """Width and height of the middle that is all the network sees of a resized picture; None where it sees all."""

    def picture_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height to which a picture of this size is scaled.

        It is squashed to a square, or scaled so that its shorter edge is `input_size` and its longer edge at most
        `longest_edge` (800 and 1333 in the paper). Both edges are rounded to the nearest multiple of the CNN's stride,
        so no grid cell needs padding. If it is cropped afterwards, the longer edge is rounded down to a pixel, as in
        torchvision.
        """
        if self.resize == "squash":
            return self.input_size, self.input_size
        if self.crop is not None:
            short, long = sorted((width, height))
            longer = int(self.input_size * long / short)
            return (self.input_size, longer) if width <= height else (longer, self.input_size)
        scale = min(self.input_size / min(width, height), self.longest_edge / max(width, height))
        return tuple(max(1, round(edge * scale / STRIDE)) * STRIDE for edge in (width, height))  # type: ignore[return-value]


@dataclass(frozen=True)
class PixelBertConfig:
    """The settings of a Pixel-BERT. The defaults are MiniLM's Transformer on EfficientNet-Lite2.

    The paper's own model has `backbone="resnet50"`, `pool=True`, width 768, 12 layers and heads (sections 3.2, 4.1).
    """

    task: str = "retrieval"
    """The task, which determines the heads on the Transformer."""
    backbone: str = "efficientnet_lite2"
    input_size: int = 224
    """The shorter edge of a picture for the CNN, in pixels."""
    longest_edge: int = 1333
    """The largest longer edge of a picture that keeps its shape, in pixels (section 4.1: 800 and 1333)."""
    resize: str = "squash"
    """"squash" makes every picture a square of `input_size`; "shorter_edge" keeps its shape, rounded to 32 pixels."""
    pool: bool = False
    """True for a 2x2 max-pool after the CNN, as in the paper."""
    vocabulary_size: int = 30522
    max_words: int = 64
    """The most WordPiece tokens of a sentence, including [CLS] and [SEP]; the rest is cut off."""
    width: int = 384
    layers: int = 6
    heads: int = 12
    feed_forward: int = 1536
    dropout: float = 0.1
    embedding_size: int = 384
    image_map_hidden: int = 1024
    """The width of the hidden layer between the pooled grid and the image embedding."""
    rerank: bool = True
    """True if the ITM logit orders results by default, since that was best on the validation set."""
    answers: tuple[str, ...] = ()
    """The possible answers to a question, for the task vqa."""
    calibration: Calibration | None = None
    """The calibration written by `pixsearch calibrate`."""

    @property
    def input_shape(self) -> InputShape:
        return InputShape(self.input_size, self.longest_edge, self.resize)

    def picture_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height to which a picture of this size is scaled for the CNN; see `InputShape`."""
        return self.input_shape.picture_size(width, height)

    def grid_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the rows and columns of the pixel grid of a picture of this size."""
        columns, rows = (math.ceil(edge / STRIDE) for edge in self.picture_size(width, height))
        return (math.ceil(rows / 2), math.ceil(columns / 2)) if self.pool else (rows, columns)

    def pixels(self, width: int, height: int) -> int:
        """Return the number of pixel features of a picture of this size."""
        return math.prod(self.grid_size(width, height))

    def save(self, file: Path) -> None:
        """Write config.json."""
        write_durably(file, (json.dumps(asdict(self), indent=2) + "\n").encode())

    @classmethod
    def load(cls, file: Path) -> PixelBertConfig:
        """Read config.json.

        Raises:
            CheckpointInvalid: the file is not JSON, or a field is missing, unknown, invalid or no longer supported.
        """
        try:
            values = json.loads(read_regular(file, CONFIG_LIMIT_BYTES))
            _drop_removed(file, values)
            if set(values) != {field.name for field in fields(cls)}:
                raise ValueError(f"fields differ: {sorted(set(values) ^ {field.name for field in fields(cls)})}")
            if (calibration := values["calibration"]) is not None:
                outdated = isinstance(calibration, dict) and set(calibration) in OUTDATED_CALIBRATIONS
                values["calibration"] = None if outdated else Calibration.of(calibration)
            for name, known in (("resize", RESIZE_MODES), ("task", TASKS)):
                if values[name] not in known:
                    raise ValueError(f"{name} is {values[name]!r}")
            values["answers"] = tuple(values["answers"])
            for name, default in asdict(cls()).items():
                if type(default) is float and type(values[name]) is int:
                    values[name] = float(values[name])
                if default is not None and type(values[name]) is not type(default):
                    raise TypeError(f"{name} is {values[name]!r}")
                if name in _MOST and not 1 <= values[name] <= _MOST[name]:
                    raise ValueError(f"{name} is not from 1 to {_MOST[name]}")
            if values["width"] % values["heads"]:
                raise ValueError("the heads do not divide the width")
            if not 0 <= values["dropout"] < 1:
                raise ValueError(f"dropout is {values['dropout']}")
            return cls(**values)
        except RecursionError as error:
            raise CheckpointInvalid(f"{file} is nested too deeply", _AGAIN) from error
        except (OSError, ValueError, TypeError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CheckpointInvalid(f"{file} is not a Pixel-BERT config ({reason})", _AGAIN) from error


def _drop_removed(file: Path, values: Any) -> None:
    """Drop the removed fields of older checkpoints. Raises CheckpointInvalid if one has an unsupported value."""
    again = "Train the checkpoint again with this version of pixsearch"
    if not isinstance(values, dict):
        return
    if values.get("task") == "pretrain":
        raise CheckpointInvalid(f"{file} is a checkpoint for the task 'pretrain', which is no longer supported", again)
    for name, neutral in REMOVED.items():
        if name in values and (value := values.pop(name)) != neutral:
            raise CheckpointInvalid(f"{file} sets {name} to {value!r}, which is no longer supported", again)
