"""Converted dual encoders for every family, made once, and the results of transformers itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import pixsearch.model.transformers_offline
import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from transformers import AutoImageProcessor, AutoModel, AutoTokenizer  # isort: skip

Floats = NDArray[np.float32]


def transformers_pictures(folder: Path, pictures: Sequence[Image.Image]) -> Floats:
    """Return unit embeddings [pictures, size] from the image processor and the model in a folder."""
    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    with torch.inference_mode():
        return _unit(_model(folder).get_image_features(**processor(images=list(pictures), return_tensors="pt")))


def transformers_texts(folder: Path, texts: Sequence[str]) -> Floats:
    """Return unit embeddings [texts, size], with texts padded as in transformers' zero-shot classification pipeline."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = _model(folder)
    with torch.inference_mode():
        if "siglip" in model.config.model_type:
            tokens = tokenizer(list(texts), padding="max_length", max_length=64, truncation=True, return_tensors="pt")
            return _unit(model.get_text_features(input_ids=tokens["input_ids"]))
        return _unit(
            model.get_text_features(**tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt"))
        )


@cache
def _model(folder: Path) -> Any:
    return AutoModel.from_pretrained(folder, local_files_only=True).eval()


def _unit(output: Any) -> Floats:
    found: Floats = torch.nn.functional.normalize(output.pooler_output, dim=-1).numpy()
    return found
