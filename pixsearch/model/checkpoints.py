"""Checkpoints on disk: a folder with config.json, tokenizer.json and model.safetensors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pixsearch.durable import write_durably
from pixsearch.errors import CheckpointInvalid, ModelNotFound
from pixsearch.model.config import PixelBertConfig
from pixsearch.settings import models_folder

if TYPE_CHECKING:
    from torch import Tensor

    from pixsearch.library.records import LibraryModel
    from pixsearch.model.nlvr2 import PixelBertForNLVR2
    from pixsearch.model.pixel_bert import PixelBertForRetrieval
    from pixsearch.model.pretraining import PixelBertForPreTraining
    from pixsearch.model.processor import PixelBertProcessor
    from pixsearch.model.vqa import PixelBertForVQA

    Network = PixelBertForRetrieval | PixelBertForPreTraining | PixelBertForVQA | PixelBertForNLVR2

SHIPPED = Path(__file__).parent / "shipped"
SHIPPED_NAME = "shipped"
CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE = "config.json", "tokenizer.json", "model.safetensors"

_CNN = "model.backbone."
_INT8, _SCALE = ".int8", ".scale"
_WORD_EMBEDDINGS = "model.word_embedding.word_embeddings.weight"


def find_checkpoint(name: str | None) -> Path:
    """The folder of a checkpoint: by its path, or by its name in the user's model folder; None is the one that ships.

    Raises:
        ModelNotFound: there is none.
    """
    if name is None or name == SHIPPED_NAME:
        folder = SHIPPED
    elif (Path(name) / CONFIG_FILE).is_file():
        folder = Path(name)
    else:
        folder = models_folder() / name
    if not (folder / CONFIG_FILE).is_file():
        raise ModelNotFound(
            f"no model {name!r}: neither a checkpoint's folder nor a name in {models_folder()}",
            "Leave --model out for the model that ships, or make one with pixsearch train",
        )
    return folder.resolve()


def checkpoint_for(model: str | None, indexed_with: LibraryModel | None) -> Path:
    """The checkpoint of that name, else the one that a library was indexed with, else the one that ships.

    Raises ModelNotFound.
    """
    if model is None and indexed_with is not None:
        model = indexed_with.name
    return find_checkpoint(model)


def checkpoint_name(folder: Path) -> str:
    """The name by which `find_checkpoint` finds this folder again, from wherever it is asked."""
    return SHIPPED_NAME if folder.resolve() == SHIPPED.resolve() else str(folder.resolve())


def fingerprint(folder: Path) -> str:
    """What tells two models apart: a hash of config, tokenizer and weights, 32 hex digits.

    Calibration and the default order are not part of it: they change no embedding and no grid.

    Raises:
        CheckpointInvalid: a file is missing or cannot be read.
    """
    config = dataclasses.replace(PixelBertConfig.load(folder / CONFIG_FILE), calibration=None, rerank=True)
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(config), sort_keys=True).encode())
    for name in (TOKENIZER_FILE, WEIGHTS_FILE):
        try:
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise CheckpointInvalid(f"{folder / name} cannot be read ({error.strerror})", _COPY_AGAIN) from error
    return digest.hexdigest()[:32]


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
            tensors[name + _INT8] = (tensor / scale).round().to(torch.int8)
            tensors[name + _SCALE] = scale
        elif tensor.is_floating_point() and tensor.dim() > 1:
            tensors[name] = tensor.half()
        else:
            tensors[name] = tensor
    processor.save_pretrained(folder)
    write_durably(folder / WEIGHTS_FILE, save(tensors))


def load_checkpoint(folder: Path, *, with_cnn: bool = True) -> tuple[PixelBertForRetrieval, PixelBertProcessor]:
    """Read a checkpoint for retrieval, as fp32, in eval mode. Without the CNN it takes words and grids only.

    Raises:
        CheckpointInvalid: a file is missing or cut, the weights are not those of the config, to the last tensor, or the
            checkpoint is of another task.
    """
    from pixsearch.model.pixel_bert import PixelBertForRetrieval

    network, processor = load_network(folder, with_cnn=with_cnn)
    if not isinstance(network, PixelBertForRetrieval):
        raise CheckpointInvalid(
            f"{folder} is a checkpoint of the task {processor.config.task} and cannot search",
            f"Fine-tune it with pixsearch train --task retrieval --model {folder}",
        )
    return network, processor


def load_cnn(folder: Path, network: PixelBertForRetrieval) -> None:
    """Give a network that was loaded without it the CNN of its checkpoint. Raises CheckpointInvalid as above."""
    from pixsearch.model.backbones import build_backbone

    with _weights_of(folder) as tensors:
        backbone = build_backbone(network.config.backbone)
        backbone.load_state_dict(
            {name.removeprefix(_CNN): tensor for name, tensor in tensors(lambda name: name.startswith(_CNN)).items()}
        )
    network.model.backbone = backbone.eval().to(network.image_gate.device)


def load_network(folder: Path, *, with_cnn: bool = True) -> tuple[Network, PixelBertProcessor]:
    """Read what `save_checkpoint` wrote, of whatever task, as fp32, in eval mode. Raises CheckpointInvalid as above."""
    from pixsearch.model.backbones import NoBackbone
    from pixsearch.model.processor import PixelBertProcessor

    processor = PixelBertProcessor.from_pretrained(folder)
    with _weights_of(folder) as tensors:
        state = tensors(lambda name: with_cnn or not name.startswith(_CNN))
        words = state.pop(_WORD_EMBEDDINGS + _INT8) * state.pop(_WORD_EMBEDDINGS + _SCALE)
        state[_WORD_EMBEDDINGS] = words
        model = build_network(processor.config)
        if not with_cnn:
            model.model.backbone = NoBackbone(model.model.backbone.channels)
        model.load_state_dict(state, strict=True)
    return model.eval(), processor


@contextmanager
def _weights_of(folder: Path) -> Iterator[Callable[[Callable[[str], bool]], dict[str, Tensor]]]:
    """What reads the tensors whose names are wanted, as fp32. What fails inside is a CheckpointInvalid."""
    from safetensors import SafetensorError, safe_open

    file = folder / WEIGHTS_FILE
    try:
        with safe_open(file, "pt") as opened:

            def read(is_wanted: Callable[[str], bool]) -> dict[str, Tensor]:
                wanted = {name: opened.get_tensor(name) for name in opened.keys() if is_wanted(name)}  # noqa: SIM118
                return {
                    name: tensor.float() if tensor.is_floating_point() or name.endswith(_INT8) else tensor
                    for name, tensor in wanted.items()
                }

            yield read
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointInvalid(f"{file} does not hold the weights of its config ({reason})", _COPY_AGAIN) from error


def build_network(config: PixelBertConfig) -> Network:
    """The network of the config's task, with random weights."""
    from pixsearch.model.nlvr2 import PixelBertForNLVR2
    from pixsearch.model.pixel_bert import PixelBertForRetrieval
    from pixsearch.model.pretraining import PixelBertForPreTraining
    from pixsearch.model.vqa import PixelBertForVQA

    networks: dict[str, type[Network]] = {
        "retrieval": PixelBertForRetrieval,
        "pretrain": PixelBertForPreTraining,
        "vqa": PixelBertForVQA,
        "nlvr2": PixelBertForNLVR2,
    }
    return networks[config.task](config)


_COPY_AGAIN = "Copy or train the whole checkpoint again"
