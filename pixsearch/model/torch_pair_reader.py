"""A loaded matching model from transformers: texts and a picture in, the logit of each pair out. Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import pixsearch.model.transformers_offline
import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

import transformers  # isort: skip

from pixsearch.errors import CheckpointInvalid, PictureError, first_line
from pixsearch.model.checkpoints import checkpoint_name
from pixsearch.model.devices import best_device
from pixsearch.model.matching_heads import matching_family, without_head
from pixsearch.model.transformers_folder import (
    COPY_AGAIN,
    LOADING_ERRORS,
    be_quiet,
    load_part,
    load_weights,
    require_all_weights,
    require_readable,
    require_tokenizer,
)

Floats = NDArray[np.float32]


class TorchPairReader:
    """A loaded BLIP, BridgeTower or ViLT with its matching head. Implements `pixsearch.search.runtime.PairReader`."""

    def __init__(self, folder: Path) -> None:
        """Load the model in a folder. Raises CheckpointInvalid."""
        self.name = checkpoint_name(folder)
        family = matching_family(folder, self.name)
        be_quiet()
        require_readable(folder)
        model, missing = load_weights(folder, getattr(transformers, family.model))
        if any(weight.startswith(family.head) for weight in missing):
            raise without_head(self.name)
        require_all_weights(folder, missing)
        self._processor = load_part(folder, "processor", getattr(transformers, family.processor).from_pretrained)
        require_tokenizer(folder, self._processor.tokenizer)
        try:
            self._most_tokens = min(_most_tokens(model.config), self._processor.tokenizer.model_max_length)
            self.min_edge = _longest_edge(self._processor.image_processor.size)
        except LOADING_ERRORS as error:
            raise CheckpointInvalid(
                f"the settings in {folder} are not supported ({first_line(error)})", COPY_AGAIN
            ) from error
        self._device = best_device()
        self._model = model.to(self._device)

    def logits(self, texts: Sequence[str], picture: Image.Image) -> Floats:
        """Return the log-odds [texts] that each text matches an RGB picture; for ViLT, return its only logit.

        Texts that are too long for the model are truncated. Raises PictureError if the model cannot read the picture,
        for example because it is far longer than it is wide.
        """
        try:
            found = np.array([self._logit(text, picture) for text in texts], np.float32)
        except LOADING_ERRORS as error:
            raise PictureError(f"the model {self.name} cannot read this picture ({first_line(error)})") from error
        if not np.isfinite(found).all():
            raise PictureError(f"the model {self.name} produces a non-finite score for this picture")
        return found

    def _logit(self, text: str, picture: Image.Image) -> float:
        inputs = self._processor(
            images=picture, text=text, return_tensors="pt", truncation=True, max_length=self._most_tokens
        )
        # ViLT draws a random order of patches, and BLIP creates a mask, on whichever device is the default.
        drawn_on = [self._device] if self._device.type == "cuda" else []
        with torch.inference_mode(), torch.device(self._device), torch.random.fork_rng(drawn_on):
            torch.manual_seed(0)
            output = self._model(**inputs.to(self._device))
        scores = (output.itm_score if "itm_score" in output else output.logits)[0].float()
        return float(scores[1] - scores[0] if len(scores) == 2 else scores[0])


def _most_tokens(config: Any) -> int:
    """Return the number of tokens for which the network has positions."""
    text = getattr(config, "text_config", config)
    # In RoBERTa, which is BridgeTower's text encoder, positions start after the id of the padding token.
    first = text.pad_token_id + 1 if config.model_type == "bridgetower" else 0
    return int(text.max_position_embeddings) - first


def _longest_edge(size: Any) -> int:
    """Return the longest edge in an image processor's size, in pixels."""
    names = ("height", "width", "shortest_edge")
    edges = [size.get(name) if isinstance(size, dict) else getattr(size, name, None) for name in names]
    return max(int(edge) for edge in edges if edge)
