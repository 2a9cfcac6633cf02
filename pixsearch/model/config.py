"""Everything that changes a shape or a number of a Pixel-BERT, saved beside its weights as config.json."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pixsearch.errors import CheckpointInvalid

RESIZE_MODES = ("squash",)
STRIDE = 32  # picture pixels a grid cell, for every backbone


@dataclass(frozen=True)
class Calibration:
    """Turns an ITM logit into a probability: sigmoid(logit / temperature + bias) (Platt, 1999)."""

    temperature: float
    bias: float


@dataclass(frozen=True)
class PixelBertConfig:
    """The numbers of a Pixel-BERT. The defaults are MiniLM's Transformer on EfficientNet-Lite2.

    The paper's own model is `backbone="resnet50"`, `pool=True`, width 768, 12 layers and heads (sections 3.2, 4.1).
    """

    backbone: str = "efficientnet_lite2"
    input_size: int = 224
    """Edge of the square picture that the CNN sees, in pixels."""
    resize: str = "squash"
    """How a picture becomes that square: "squash" ignores its aspect ratio."""
    pool: bool = False
    """2x2 max-pool after the CNN, as the paper has it."""
    pixel_positions: bool = False
    """A learned embedding for each grid cell; the paper has none."""
    vocabulary_size: int = 30522
    max_words: int = 64
    """WordPiece tokens a sentence may have, [CLS] and [SEP] included; the rest is cut off."""
    width: int = 384
    layers: int = 6
    heads: int = 12
    feed_forward: int = 1536
    dropout: float = 0.1
    joint_from_layer: int = 0
    """First layer in which words and pixels see each other; 0 is the paper's early fusion."""
    embedding_size: int = 384
    image_map_hidden: int = 1024
    """Width of the hidden layer between the pooled grid and the image embedding."""
    rerank: bool = True
    """Whether the ITM logit orders results by default: what the validation set showed to be best."""
    calibration: Calibration | None = None

    @property
    def grid_edge(self) -> int:
        """Grid cells along each edge."""
        edge = math.ceil(self.input_size / STRIDE)
        return math.ceil(edge / 2) if self.pool else edge

    @property
    def pixels(self) -> int:
        """Pixel features a picture."""
        return self.grid_edge**2

    def save(self, file: Path) -> None:
        """Write config.json."""
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> PixelBertConfig:
        """Read config.json.

        Raises:
            CheckpointInvalid: not JSON, or a field missing, unknown or impossible.
        """
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            if set(values) != {field.name for field in fields(cls)}:
                raise ValueError(f"fields differ: {sorted(set(values) ^ {field.name for field in fields(cls)})}")
            if values["calibration"] is not None:
                values["calibration"] = Calibration(**values["calibration"])
            if values["resize"] not in RESIZE_MODES:
                raise ValueError(f"unknown resize mode {values['resize']!r}")
            for name, default in asdict(cls()).items():
                if default is not None and type(values[name]) is not type(default):
                    raise TypeError(f"{name} is {values[name]!r}")
                if isinstance(default, int) and values[name] < 0:
                    raise ValueError(f"{name} is {values[name]}")
            if values["input_size"] < 1 or values["heads"] < 1 or values["width"] % values["heads"]:
                raise ValueError("input_size or heads is 0, or the heads do not divide the width")
            if not 0 <= values["dropout"] < 1 or values["joint_from_layer"] > values["layers"]:
                raise ValueError("dropout or joint_from_layer is out of range")
            return cls(**values)
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointInvalid(
                f"{file} is not a Pixel-BERT config ({error})", "Train or copy the checkpoint again"
            ) from error
