"""Checkpoints on disk: a Pixel-BERT's config.json, tokenizer.json and model.safetensors, perhaps with graphs.zip and
words.txt; and dual encoders of the Hugging Face hub (`dual_encoder_config`), whose config.json is transformers'."""

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

    from pixsearch.library.records import LibraryModel
    from pixsearch.model.networks import Network
    from pixsearch.model.pixel_bert import PixelBertForRetrieval
    from pixsearch.model.processor import PixelBertProcessor

SHIPPED = Path(__file__).parent / "shipped"
SHIPPED_NAME = "shipped"
CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE = "config.json", "tokenizer.json", "model.safetensors"

WEIGHTS_LIMIT_BYTES = 4 << 30
"""Seven times those of ResNet-50 and BERT-base in full precision."""
INT8, SCALE = ".int8", ".scale"
"""Endings of the two tensors that stand for one kept in 8 bits."""
_WORD_EMBEDDINGS = "model.word_embedding.word_embeddings.weight"

HUB = "hub:"
"""The beginning of the name of a model of the Hugging Face hub: hub:organisation/model."""
HUB_FOLDER = "hub"
"""In the models folder."""
_HUB_NAME = re.compile(r"hub:([\w.-]+)/([\w.-]+)", re.ASCII)


def find_checkpoint(name: str | None) -> Path:
    """The folder of a checkpoint: by its path, by its name in the user's model folder, or by its name on the hub, from
    where `pixsearch model get` has brought it; None is the one that ships.

    Raises:
        ModelNotFound: there is none.
        UsageError: no model of the hub can have that name.
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
            f"no model {name!r}: neither a checkpoint's folder nor a name in {models_folder()}",
            f"See which there are with pixsearch model list; the name of one of the hub begins with {HUB}",
        )
    return folder.resolve()


def hub_folder(name: str) -> Path:
    """Return where the model of the hub with such a name is kept. Raises UsageError for a name that none can have."""
    match = _HUB_NAME.fullmatch(name)
    if match is None or {*match.groups()} & {".", ".."} or "--" in match[1]:
        raise UsageError(f"{name} is not the name of a model of the hub", "Name it as in hub:organisation/model")
    return models_folder() / HUB_FOLDER / f"{match[1]}--{match[2]}"


def checkpoint_for(model: str | None, indexed_with: LibraryModel | None) -> Path:
    """The checkpoint of that name, else the one that a library was indexed with, else the one that ships.

    Raises ModelNotFound.
    """
    if model is None and indexed_with is not None:
        model = indexed_with.name
    return find_checkpoint(model)


def is_at_hand(model: LibraryModel) -> bool:
    """Whether the very model that a library was indexed by is still found by its name."""
    try:
        return fingerprint(find_checkpoint(model.name)) == model.fingerprint
    except PixsearchError:  # also without a home directory, where names are looked for
        return False


def checkpoint_name(folder: Path) -> str:
    """The name by which `find_checkpoint` finds this folder again, from wherever it is asked."""
    folder = folder.resolve()
    if folder == SHIPPED.resolve():
        return SHIPPED_NAME
    organisation, separator, model = folder.name.partition("--")
    name = f"{HUB}{organisation}/{model}"
    if separator and _HUB_NAME.fullmatch(name):
        with suppress(PixsearchError):  # without a home directory no model of the hub is found by its name
            if hub_folder(name).resolve() == folder:
                return name
    return str(folder)


def is_dual_encoder(folder: Path) -> bool:
    """Return whether a checkpoint's folder is that of a dual encoder, converted or not: transformers names the type of
    a model in config.json, where a Pixel-BERT has no such field."""
    # Where there is none, the one that reads it as a Pixel-BERT's says what is wrong.
    return (folder / DUAL_ENCODER_FILE).is_file() or model_type(folder) is not None


def load_config(folder: Path) -> PixelBertConfig | DualEncoderConfig:
    """Read the config of a checkpoint of either kind. Raises CheckpointInvalid."""
    if is_dual_encoder(folder):
        return DualEncoderConfig.load(folder / DUAL_ENCODER_FILE)
    return PixelBertConfig.load(folder / CONFIG_FILE)


def require_graphs(folder: Path) -> None:
    """Check that a checkpoint of either kind has the graphs that a CPU runs. Raises CheckpointInvalid."""
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
    """What tells two models apart: a hash of config, tokenizer and weights, 32 hex digits.

    Calibration, the default order and words.txt are not part of it: they change no embedding and no grid.

    Raises:
        CheckpointInvalid: a file is missing or cannot be read.
    """
    if is_dual_encoder(folder):  # it names the hashes of its weights, which need not be there any more
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
    """Write a calibration into a checkpoint's config; its fingerprint stays the same. Raises CheckpointInvalid."""
    config = load_config(folder)
    if isinstance(config, DualEncoderConfig):
        replace(config, calibration=calibration).save(folder / DUAL_ENCODER_FILE)
        return
    values = _config_values(folder, calibration=asdict(calibration))
    write_durably(folder / CONFIG_FILE, (json.dumps(values, indent=2) + "\n").encode())


def _config_values(folder: Path, **changes: object) -> dict[str, object]:
    """The fields of config.json, including any that this version has dropped: they count in the fingerprint, which
    libraries keep. Raises CheckpointInvalid."""
    file = folder / CONFIG_FILE
    config = PixelBertConfig.load(file)
    on_disk: dict[str, object] = json.loads(read_regular(file, CONFIG_LIMIT_BYTES))
    return on_disk | asdict(config) | changes


def save_checkpoint(folder: Path, model: Network, processor: PixelBertProcessor) -> None:
    """Write a checkpoint: matrices as fp16, word embeddings as int8 with a scale a word, vectors as fp32."""
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
    """Read a checkpoint for retrieval, as fp32, in eval mode.

    Raises:
        CheckpointInvalid: a file is missing or cut, the weights are not those of the config, to the last tensor, or the
            checkpoint is of another task.
    """
    from pixsearch.model.pixel_bert import PixelBertForRetrieval

    network, processor = load_network(folder)
    if not isinstance(network, PixelBertForRetrieval):
        raise CheckpointInvalid(
            f"{folder} is a checkpoint of the task {processor.config.task} and cannot search",
            f"Fine-tune it with pixsearch train --model {folder}",
        )
    return network, processor


def load_network(folder: Path) -> tuple[Network, PixelBertProcessor]:
    """Read what `save_checkpoint` wrote, of whatever task, as fp32, in eval mode. Raises CheckpointInvalid as above."""
    from safetensors.torch import load_file

    from pixsearch.model.backbones import BACKBONES
    from pixsearch.model.networks import build_network
    from pixsearch.model.processor import PixelBertProcessor

    if is_matching(folder):
        raise only_matching(checkpoint_name(folder))
    if is_dual_encoder(folder):
        raise CheckpointInvalid(
            f"{checkpoint_name(folder)} is a dual encoder and not a Pixel-BERT",
            "Use a Pixel-BERT checkpoint, or leave --model out for the one that ships",
        )
    processor = PixelBertProcessor.from_pretrained(folder)
    if (backbone := processor.config.backbone) not in BACKBONES:
        raise CheckpointInvalid(
            f"{folder / CONFIG_FILE} names the unknown backbone {backbone!r}; known backbones: {', '.join(BACKBONES)}",
            "Train the checkpoint again, or install a newer pixsearch",
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
    """Drop the tensors of the image stream's gate, which older checkpoints have. Raises CheckpointInvalid where it is
    open: the Transformer then has a share in the picture's embedding."""
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
    """The mean pixel feature of the pictures that a checkpoint was trained on, [channels]. Raises CheckpointInvalid."""
    from safetensors import safe_open

    with weights_of(folder) as file, safe_open(file, "np") as tensors:
        mean: NDArray[np.float32] = tensors.get_tensor("model.standardise.mean")
    return mean


@contextmanager
def weights_of(folder: Path) -> Iterator[str]:
    """Open a checkpoint's weights, as a path for safetensors. What goes wrong in the block is a CheckpointInvalid."""
    from safetensors import SafetensorError

    try:
        with open_regular(folder / WEIGHTS_FILE, WEIGHTS_LIMIT_BYTES) as file:
            yield path_of(file)
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise CheckpointInvalid(
            f"{folder / WEIGHTS_FILE} does not hold the weights of its config ({reason})", _COPY_AGAIN
        ) from error


_COPY_AGAIN = "Copy or train the whole checkpoint again"
