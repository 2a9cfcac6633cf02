"""Runs the two towers of a dual encoder with torch, to use a GPU or to convert the model."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import pixsearch.model.transformers_offline
import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from transformers import AutoConfig, AutoModel  # isort: skip

from pixsearch.errors import CheckpointInvalid, first_line
from pixsearch.model.checkpoints import CONFIG_FILE
from pixsearch.model.devices import autocast
from pixsearch.model.dual_encoder_config import DUAL_ENCODER_FILE, DualEncoderConfig, command_to_convert, sha256_of
from pixsearch.model.matching_heads import is_matching, only_matching
from pixsearch.model.transformers_folder import (
    LOADING_ERRORS,
    be_quiet,
    load_weights,
    require_all_weights,
    require_readable,
    weight_files,
)

_PATCHES = "siglip2"
"""The type of SigLIP 2 models for any picture size (NaFlex). Models for a fixed size have the type siglip."""


class PictureTower(nn.Module):
    """Maps RGB pictures, uint8 [batch, rows, columns, 3], to unit vectors [batch, embedding size]."""

    factors: Tensor
    offsets: Tensor

    def __init__(self, model: Any, factors: tuple[float, ...], offsets: tuple[float, ...]) -> None:
        """Set up the tower of a model. `factors` and `offsets` convert RGB values to the model's input."""
        super().__init__()
        self.model = model
        self.register_buffer("factors", torch.tensor(factors), persistent=False)
        self.register_buffer("offsets", torch.tensor(offsets), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        pixels = (pictures * self.factors + self.offsets).permute(0, 3, 1, 2)
        return F.normalize(_features(self.model.get_image_features(pixel_values=pixels)), dim=-1)


class TextTower(nn.Module):
    """Maps token ids [batch, tokens], all of them unmasked, to unit vectors [batch, embedding size]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        return F.normalize(_features(self.model.get_text_features(input_ids=ids)), dim=-1)


class TorchTowers:
    """Runs both towers with torch. Has the same interface as `CompiledTowers`."""

    pictures_at_once, texts_at_once = 64, 64

    def __init__(self, folder: Path, device: torch.device) -> None:
        """Load a converted model.

        Raises CheckpointInvalid, for example if the weights have changed since the conversion.
        """
        config = DualEncoderConfig.load(folder / DUAL_ENCODER_FILE)
        model = load_dual_encoder(folder)
        if config.weights != hashes_of_weights(folder):
            raise CheckpointInvalid(
                f"the weights in {folder} have changed", f"Convert the model again with: {command_to_convert(folder)}"
            )
        self._device = device
        pictures = PictureTower(model, config.pixel_factors, config.pixel_offsets)
        self._towers = {"pictures": pictures.to(device), "texts": TextTower(model).to(device)}

    def prepare(self, name: str, *, kept_only: bool = False) -> None:
        """Do nothing, because both towers are already loaded."""

    def run(self, name: str, inputs: NDArray[Any]) -> NDArray[Any]:
        with torch.inference_mode(), autocast(self._device) if self._device.type == "cuda" else nullcontext():
            embeddings: Tensor = self._towers[name](torch.from_numpy(inputs).to(self._device))
        result: NDArray[Any] = F.normalize(embeddings.float(), dim=-1).cpu().numpy()
        return result


def require_dual_encoder(folder: Path, name: str | None = None) -> None:
    """Raise CheckpointInvalid unless the model in a folder is a dual encoder that pixsearch can convert.

    Only config.json is read. The error message contains `name`, or the folder if there is none.
    """
    name = name or str(folder)
    if is_matching(folder):
        raise only_matching(name)
    be_quiet()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        kind = AutoModel._model_mapping.get(type(config), None)
    except LOADING_ERRORS as error:
        raise CheckpointInvalid(
            f"transformers does not support the model type in {CONFIG_FILE} of {name} ({first_line(error)})"
        ) from error
    if kind is None or not (hasattr(kind, "get_text_features") and hasattr(kind, "get_image_features")):
        raise CheckpointInvalid(
            f"{name} is not a dual encoder: {config.model_type} does not embed both texts and images",
            "Use a model such as CLIP or SigLIP",
        )
    if config.model_type == _PATCHES:
        raise CheckpointInvalid(
            f"{name} takes pictures of any size (NaFlex), which is not supported",
            "Use a SigLIP 2 model with a fixed input size, such as hub:google/siglip2-base-patch16-256",
        )


def load_dual_encoder(folder: Path) -> Any:
    """Load a transformers dual encoder in fp32. This never runs code from the folder or reads pickles.

    Raises:
        CheckpointInvalid: the model is not a dual encoder, or its weights are missing, damaged or not in safetensors.
    """
    be_quiet()
    require_readable(folder)
    require_dual_encoder(folder)
    model, missing = load_weights(folder, AutoModel)
    require_all_weights(folder, missing)
    return _with_pooling_that_fits(model)


def hashes_of_weights(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each weights file and of config.json, by file name. Raises CheckpointInvalid."""
    try:
        return {file.name: sha256_of(file) for file in [*weight_files(folder), folder / CONFIG_FILE]}
    except OSError as error:
        raise CheckpointInvalid(f"{error.filename} cannot be read ({error.strerror})") from error


def _features(output: Any) -> Tensor:
    features: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return features


def _with_pooling_that_fits(model: Any) -> Any:
    """Return the model with pooling that OpenVINO supports: ALIGN pools with a window larger than any feature map."""
    pooler = getattr(getattr(model, "vision_model", None), "pooler", None)
    if isinstance(pooler, nn.AvgPool2d) and pooler.ceil_mode:
        model.vision_model.pooler = nn.AdaptiveAvgPool2d(1)
    return model
