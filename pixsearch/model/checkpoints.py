"""Checkpoints on disk.

A Pixel-BERT checkpoint consists of config.json, tokenizer.json and model.safetensors, and optionally graphs.zip and
words.txt. Checkpoints can also be dual encoders from the Hugging Face Hub (see `dual_encoder_config`), whose
config.json was written by transformers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pixsearch.durable import write_durably
from pixsearch.errors import CheckpointInvalid, ModelNotFound, PixsearchError, UsageError
from pixsearch.model.config import CONFIG_LIMIT_BYTES, Calibration, PixelBertConfig
from pixsearch.model.dual_encoder_config import (
    DUAL_ENCODER_FILE,
    DUAL_TOKENIZER_FILE,
    DualEncoderConfig,
    command_to_convert,
)
from pixsearch.model.matching_heads import is_matching, model_type, only_matching
from pixsearch.regular_files import open_regular, path_of, read_regular
from pixsearch.settings import models_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pixsearch.database.state import LibraryModel
    from pixsearch.model.networks import Network
    from pixsearch.model.pixel_bert import PixelBertForRetrieval
    from pixsearch.model.processor import PixelBertProcessor

SHIPPED = Path(__file__).parent / "shipped"
SHIPPED_NAME = "shipped"
CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE = "config.json", "tokenizer.json", "model.safetensors"

WEIGHTS_LIMIT_BYTES = 4 << 30
"""The maximum size of a weights file: seven times that of ResNet-50 and BERT-base together in full precision."""
INT8, SCALE = ".int8", ".scale"
"""The name suffixes of the two tensors that store one tensor in 8 bits."""
_WORD_EMBEDDINGS = "model.word_embedding.word_embeddings.weight"

HUB = "hub:"
"""The prefix for names of models on the Hugging Face Hub, as in hub:organisation/model."""
HUB_FOLDER = "hub"
"""The subfolder of the models folder for models from the Hub."""
_HUB_NAME = re.compile(r"hub:([\w.-]+)/([\w.-]+)", re.ASCII)


def find_checkpoint(name: str | None) -> Path:
    """Return the folder of a checkpoint.

    Args:
        name: the path of the folder, the name of a model in the user's models folder, or the name of a Hub model that
            `pixsearch model get` has downloaded; None for the built-in model.

    Raises:
        ModelNotFound: no folder or model has this name.
        UsageError: the name is not valid for a model on the Hub.
    """
    if name is not None and name.startswith(HUB):
        folder = hub_folder(name)
        if not (folder / CONFIG_FILE).is_file():
            raise ModelNotFound(
                f"the model {name} is not on this machine", f"Download it with: pixsearch model get {name}"
            )
        return folder.resolve()
    if name is None or name == SHIPPED_NAME:
        folder = SHIPPED
    elif (Path(name) / CONFIG_FILE).is_file():
        folder = Path(name)
    else:
        folder = models_folder() / name
    if not (folder / CONFIG_FILE).is_file():
        raise ModelNotFound(
            f"no model {name!r}: it is neither a checkpoint folder nor a model in {models_folder()}",
            f"List the models with pixsearch model list. Names of models on the Hub start with {HUB}",
        )
    return folder.resolve()


def hub_folder(name: str) -> Path:
    """Return the folder for a model from the Hub, even if it does not exist. Raises UsageError for an invalid name."""
    match = _HUB_NAME.fullmatch(name)
    if match is None or {*match.groups()} & {".", ".."} or "--" in match[1]:
        raise UsageError(f"{name} is not a valid name for a model on the Hub", "Use the form hub:organisation/model")
    return models_folder() / HUB_FOLDER / f"{match[1]}--{match[2]}"


def checkpoint_for(model: str | None, indexed_with: LibraryModel | None) -> Path:
    """Return the folder of the checkpoint named `model`.

    The default is the model that the library was indexed with, or the built-in model if there is none. Raises
    ModelNotFound or UsageError.
    """
    if model is None and indexed_with is not None:
        model = indexed_with.name
    return find_checkpoint(model)


def is_at_hand(model: LibraryModel) -> bool:
    """Return whether a library's model can still be found by name and has the same fingerprint."""
    try:
        return fingerprint(find_checkpoint(model.name)) == model.fingerprint
    except PixsearchError:  # also raised if there is no home directory, and so no models folder
        return False


def checkpoint_name(folder: Path) -> str:
    """Return a name with which `find_checkpoint` finds this folder from any working directory."""
    folder = folder.resolve()
    if folder == SHIPPED.resolve():
        return SHIPPED_NAME
    organisation, separator, model = folder.name.partition("--")
    name = f"{HUB}{organisation}/{model}"
    if separator and _HUB_NAME.fullmatch(name):
        with suppress(PixsearchError):  # without a home directory, there is no folder for models from the Hub
            if hub_folder(name).resolve() == folder:
                return name
    return str(folder)


def is_dual_encoder(folder: Path) -> bool:
    """Return whether a checkpoint is a dual encoder, converted or not.

    transformers writes the model type to config.json. The config of a Pixel-BERT does not have this field.
    """
    # A folder without config.json counts as a Pixel-BERT, so loading the config raises the error.
    return (folder / DUAL_ENCODER_FILE).is_file() or model_type(folder) is not None


def load_config(folder: Path) -> PixelBertConfig | DualEncoderConfig:
    """Read the config of either kind of checkpoint. Raises CheckpointInvalid."""
    if is_dual_encoder(folder):
        return DualEncoderConfig.load(folder / DUAL_ENCODER_FILE)
    return PixelBertConfig.load(folder / CONFIG_FILE)


def require_graphs(folder: Path) -> None:
    """Raise CheckpointInvalid if a checkpoint of either kind lacks the graphs needed to run it on a CPU."""
    from pixsearch.model.graphs import load_graphs

    config = load_config(folder)
    if isinstance(config, PixelBertConfig):
        load_graphs(folder)
        return
    for name in config.graphs:
        if not (folder / name).is_file():
            raise CheckpointInvalid(
                f"{folder / name} is missing", f"Convert the model again with: {command_to_convert(folder)}"
            )


def fingerprint(folder: Path) -> str:
    """Return a model's fingerprint, a hash of its config, tokenizer and weights, as 32 hex digits.

    The hash excludes the calibration, the default order and words.txt, which do not affect embeddings or grids.

    Raises:
        CheckpointInvalid: a file is missing or cannot be read.
    """
    # The weights of a dual encoder may have been deleted, but its config contains their hashes.
    if is_dual_encoder(folder):
        identity, files = DualEncoderConfig.load(folder / DUAL_ENCODER_FILE).identity(), [DUAL_TOKENIZER_FILE]
    else:
        values = _config_values(folder, calibration=None, rerank=True)
        identity, files = json.dumps(values, sort_keys=True).encode(), [TOKENIZER_FILE, WEIGHTS_FILE]
    digest = hashlib.sha256(identity)
    for name in files:
        try:
            with open_regular(folder / name, WEIGHTS_LIMIT_BYTES) as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise CheckpointInvalid(f"{folder / name} cannot be read ({error.strerror})", _COPY_AGAIN) from error
    return digest.hexdigest()[:32]


def save_calibration(folder: Path, calibration: Calibration) -> None:
    """Write a calibration to a checkpoint's config. The fingerprint stays the same. Raises CheckpointInvalid."""
    config = load_config(folder)
    if isinstance(config, DualEncoderConfig):
        replace(config, calibration=calibration).save(folder / DUAL_ENCODER_FILE)
        return
    values = _config_values(folder, calibration=asdict(calibration))
    write_durably(folder / CONFIG_FILE, (json.dumps(values, indent=2) + "\n").encode())


def _config_values(folder: Path, **changes: object) -> dict[str, object]:
    """Return the fields of config.json after applying `changes`.

    Fields that this version no longer uses are included because they are part of the fingerprint, which libraries
    store. Raises CheckpointInvalid.
    """
    file = folder / CONFIG_FILE
    config = PixelBertConfig.load(file)
    on_disk: dict[str, object] = json.loads(read_regular(file, CONFIG_LIMIT_BYTES))
    return on_disk | asdict(config) | changes


def save_checkpoint(folder: Path, model: Network, processor: PixelBertProcessor) -> None:
    """Write a checkpoint with matrices in fp16, word embeddings in int8 with a scale per word, and vectors in fp32."""
    import torch
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        if name == _WORD_EMBEDDINGS:
            scale = tensor.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
            tensors[name + INT8] = (tensor / scale).round().to(torch.int8)
            tensors[name + SCALE] = scale
        elif tensor.is_floating_point() and tensor.dim() > 1:
            tensors[name] = tensor.half()
        else:
            tensors[name] = tensor
    processor.save_pretrained(folder)
    write_durably(folder / WEIGHTS_FILE, save(tensors))


def load_checkpoint(folder: Path) -> tuple[PixelBertForRetrieval, PixelBertProcessor]:
    """Load a retrieval checkpoint in fp32 and eval mode.

    Raises:
        CheckpointInvalid: a file is missing or truncated, a weight tensor does not match the config, or the checkpoint
            is for a different task.
    """
    from pixsearch.model.pixel_bert import PixelBertForRetrieval

    network, processor = load_network(folder)
    if not isinstance(network, PixelBertForRetrieval):
        raise CheckpointInvalid(
            f"{folder} is a checkpoint for the task {processor.config.task} and cannot be used to search",
            f"Fine-tune it with: pixsearch train --model {folder}",
        )
    return network, processor


def load_network(folder: Path) -> tuple[Network, PixelBertProcessor]:
    """Load a checkpoint for any task in fp32 and eval mode.

    Raises:
        CheckpointInvalid: a file is missing or truncated, or a weight tensor does not match the config.
    """
    from safetensors.torch import load_file

    from pixsearch.model.backbones import BACKBONES
    from pixsearch.model.networks import build_network
    from pixsearch.model.processor import PixelBertProcessor

    if is_matching(folder):
        raise only_matching(checkpoint_name(folder))
    if is_dual_encoder(folder):
        raise CheckpointInvalid(
            f"{checkpoint_name(folder)} is a dual encoder, not a Pixel-BERT checkpoint",
            "Use a Pixel-BERT checkpoint, or omit --model to use the built-in model",
        )
    processor = PixelBertProcessor.from_pretrained(folder)
    if (backbone := processor.config.backbone) not in BACKBONES:
        raise CheckpointInvalid(
            f"unknown backbone {backbone!r} in {folder / CONFIG_FILE}; known backbones: {', '.join(BACKBONES)}",
            "Train the checkpoint again, or install a newer version of pixsearch",
        )
    with weights_of(folder) as file:
        state = {
            name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in load_file(file).items()
        }
        state[_WORD_EMBEDDINGS] = state.pop(_WORD_EMBEDDINGS + INT8) * state.pop(_WORD_EMBEDDINGS + SCALE)
        _drop_closed_gate(folder, state)
        model = build_network(processor.config)
        model.load_state_dict(state, strict=True)
    return model.eval(), processor


def _drop_closed_gate(folder: Path, state: dict[str, Tensor]) -> None:
    """Remove the tensors of the image stream's gate from the weights of an older checkpoint.

    Raises CheckpointInvalid if the gate is open, which means that the Transformer contributes to image embeddings.
    """
    if "image_gate" not in state:
        return
    if (gate := float(state.pop("image_gate"))) != 0:
        raise CheckpointInvalid(
            f"{folder / WEIGHTS_FILE} has an open image gate ({gate:g}), which is no longer supported",
            "Train the checkpoint again with this version of pixsearch",
        )
    for name in ("weight", "bias"):
        state.pop(f"image_projection.{name}", None)


def mean_pixel(folder: Path) -> NDArray[np.float32]:
    """Return the mean pixel features [channels] of a checkpoint's training pictures. Raises CheckpointInvalid."""
    from safetensors import safe_open

    with weights_of(folder) as file, safe_open(file, "np") as tensors:
        mean: NDArray[np.float32] = tensors.get_tensor("model.standardise.mean")
    return mean


@contextmanager
def weights_of(folder: Path) -> Iterator[str]:
    """Open a checkpoint's weights and yield a path for safetensors.

    Errors while opening the file or inside the `with` block are raised as CheckpointInvalid.
    """
    from safetensors import SafetensorError

    try:
        with open_regular(folder / WEIGHTS_FILE, WEIGHTS_LIMIT_BYTES) as file:
            yield path_of(file)
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise CheckpointInvalid(f"{folder / WEIGHTS_FILE} does not match its config ({reason})", _COPY_AGAIN) from error


_COPY_AGAIN = "Copy the whole checkpoint again, or retrain it"
