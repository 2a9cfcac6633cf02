"""The configuration of a Pixel-BERT: every setting that affects its results. Stored as config.json with the weights."""

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
"""The lower-case names of Pillow's resampling filters."""
TASKS = ("retrieval", "vqa", "nlvr2")
CONFIG_LIMIT_BYTES = 16 << 20
STRIDE = 32  # picture pixels per grid cell, for every backbone
OUTDATED_CALIBRATIONS = ({"temperature", "bias"}, {"slope", "intercept"})
"""The fields of older calibrations. These are ignored: they had a different meaning or covered only one stage."""
_AGAIN = "Copy the checkpoint again, or retrain it"
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
"""The maximum values: larger than any real checkpoint needs, but small enough that loading can be attempted."""
_STEEPEST = 1e6
"""The maximum absolute slope or intercept of a calibration curve. Real data never needs one that is almost a step."""
REMOVED = {"pixel_positions": False, "joint_from_layer": 0}
"""The fields that only older checkpoints have, each with the one value that is still supported."""


Stage = Literal["late", "joint"]
"""The stage that gave a pair its final score: late interaction or the joint stream."""


@dataclass(frozen=True)
class Curve:
    """A curve that maps a pair's score to a probability, sigmoid(slope x score + intercept) (Platt, 1999).

    This is the probability that a person would say that the words describe the picture.
    """

    slope: float
    intercept: float

    @classmethod
    def of(cls, values: Any) -> Curve:
        """Create a curve from config.json values. Raises TypeError unless they are two numbers in range."""
        numbers = values.values() if isinstance(values, dict) and set(values) == {"slope", "intercept"} else ()
        if not numbers or any(type(number) not in (int, float) or not abs(number) <= _STEEPEST for number in numbers):
            raise TypeError(f"invalid calibration curve: {values!r}")
        return cls(float(values["slope"]), float(values["intercept"]))

    def probability(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability for each score."""
        import numpy  # imported here because an index run that finds nothing new does not need it

        # The sigmoid in a form that does not overflow for very low scores.
        probabilities: NDArray[np.float32] = numpy.exp(-numpy.logaddexp(0, -(self.slope * scores + self.intercept)))
        return probabilities


@dataclass(frozen=True)
class Calibration:
    """One curve per stage that can give a pair its final score, to make scores from different stages comparable."""

    joint: Curve | None
    """The curve for ITM logits; None if the model has no ITM head."""
    late: Curve
    """The curve for late scores."""

    @classmethod
    def of(cls, values: Any) -> Calibration:
        """Create a calibration from config.json values. Raises TypeError if they are not valid."""
        if not isinstance(values, dict) or set(values) != {"joint", "late"}:
            raise TypeError(f"invalid calibration: {values!r}")
        return cls(None if values["joint"] is None else Curve.of(values["joint"]), Curve.of(values["late"]))


@dataclass(frozen=True, slots=True)
class InputShape:
    """The config fields that determine a network's input size, for processes that only decode pictures."""

    input_size: int
    longest_edge: int
    resize: str
    resample: str = "bicubic"
    """One of `RESAMPLING`."""
    crop: tuple[int, int] | None = None
    """The width and height of the centre crop taken from a resized picture; None to use the whole picture."""

    def picture_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height to which a picture of this size is scaled.

        The picture is either squashed to a square, or scaled until its shorter edge is `input_size` or its longer edge
        is `longest_edge` (800 and 1333 in the paper), whichever comes first. Both edges are then rounded to the nearest
        multiple of the CNN's stride, so no grid cell needs padding. If the picture is cropped afterwards, its shorter
        edge is always `input_size`, and its longer edge is rounded down to a whole pixel, as in torchvision.
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
    """The settings of a Pixel-BERT. The defaults describe MiniLM's Transformer on top of EfficientNet-Lite2.

    The model in the paper has `backbone="resnet50"`, `pool=True`, a width of 768, 12 layers and 12 heads (sections 3.2,
    4.1).
    """

    task: str = "retrieval"
    """The task, which determines the heads on top of the Transformer."""
    backbone: str = "efficientnet_lite2"
    input_size: int = 224
    """The shorter edge of a picture at the input of the CNN, in pixels (800 in section 4.1)."""
    longest_edge: int = 1333
    """The maximum length of the longer edge, in pixels, if a picture keeps its aspect ratio (1333 in section 4.1)."""
    resize: str = "squash"
    """"squash" makes every picture a square; "shorter_edge" keeps its aspect ratio, apart from rounding both
    edges to multiples of 32 pixels."""
    pool: bool = False
    """True for a 2x2 max-pool after the CNN, as in the paper."""
    vocabulary_size: int = 30522
    max_words: int = 64
    """The maximum number of WordPiece tokens in a sentence, including [CLS] and [SEP]. Longer sentences are truncated.
    """
    width: int = 384
    layers: int = 6
    heads: int = 12
    feed_forward: int = 1536
    dropout: float = 0.1
    embedding_size: int = 384
    image_map_hidden: int = 1024
    """The width of the hidden layer between the pooled grid and the image embedding."""
    rerank: bool = True
    """True if results are ordered by ITM logit by default, because that worked best on the validation set."""
    answers: tuple[str, ...] = ()
    """The possible answers to a question, for the task "vqa"."""
    calibration: Calibration | None = None
    """The calibration written by `pixsearch calibrate`; None for an uncalibrated model."""

    @property
    def input_shape(self) -> InputShape:
        return InputShape(self.input_size, self.longest_edge, self.resize)

    def picture_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height to which a picture of this size is scaled for the CNN; see `InputShape`."""
        return self.input_shape.picture_size(width, height)

    def grid_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the number of rows and columns in the pixel grid for a picture of this size."""
        columns, rows = (math.ceil(edge / STRIDE) for edge in self.picture_size(width, height))
        return (math.ceil(rows / 2), math.ceil(columns / 2)) if self.pool else (rows, columns)

    def pixels(self, width: int, height: int) -> int:
        """Return the number of pixel features for a picture of this size."""
        return math.prod(self.grid_size(width, height))

    def save(self, file: Path) -> None:
        """Write config.json."""
        write_durably(file, (json.dumps(asdict(self), indent=2) + "\n").encode())

    @classmethod
    def load(cls, file: Path) -> PixelBertConfig:
        """Read config.json.

        Raises:
            CheckpointInvalid: the file cannot be read or is not JSON, or a field is missing, unknown, invalid or no
                longer supported.
        """
        try:
            values = json.loads(read_regular(file, CONFIG_LIMIT_BYTES))
            _drop_removed(file, values)
            if set(values) != {field.name for field in fields(cls)}:
                raise ValueError(
                    f"missing or unknown fields: {sorted(set(values) ^ {field.name for field in fields(cls)})}"
                )
            if (calibration := values["calibration"]) is not None:
                outdated = isinstance(calibration, dict) and set(calibration) in OUTDATED_CALIBRATIONS
                values["calibration"] = None if outdated else Calibration.of(calibration)
            for name, known in (("resize", RESIZE_MODES), ("task", TASKS)):
                if values[name] not in known:
                    raise ValueError(f"invalid {name}: {values[name]!r}")
            values["answers"] = tuple(values["answers"])
            for name, default in asdict(cls()).items():
                if type(default) is float and type(values[name]) is int:
                    values[name] = float(values[name])
                if default is not None and type(values[name]) is not type(default):
                    raise TypeError(f"invalid {name}: {values[name]!r}")
                if name in _MOST and not 1 <= values[name] <= _MOST[name]:
                    raise ValueError(f"{name} must be from 1 to {_MOST[name]}, got {values[name]}")
            if values["width"] % values["heads"]:
                raise ValueError(f"width must be a multiple of heads, got {values['width']} and {values['heads']}")
            if not 0 <= values["dropout"] < 1:
                raise ValueError(f"dropout must be at least 0 and less than 1, got {values['dropout']}")
            return cls(**values)
        except RecursionError as error:
            raise CheckpointInvalid(f"{file} is nested too deeply", _AGAIN) from error
        except (OSError, ValueError, TypeError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CheckpointInvalid(f"{file} is not a valid Pixel-BERT config ({reason})", _AGAIN) from error


def _drop_removed(file: Path, values: Any) -> None:
    """Remove the fields that only older checkpoints have. Raises CheckpointInvalid if one has an unsupported value."""
    again = "Train the checkpoint again with this version of pixsearch"
    if not isinstance(values, dict):
        return
    if values.get("task") == "pretrain":
        raise CheckpointInvalid(f"{file} is a checkpoint for the task 'pretrain', which is no longer supported", again)
    for name, neutral in REMOVED.items():
        if name in values and (value := values.pop(name)) != neutral:
            raise CheckpointInvalid(f"{file} sets {name} to {value!r}, which is no longer supported", again)
