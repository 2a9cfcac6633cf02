"""The converted ResNet-50, compared with an independent implementation of the Keras network."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

import torchvision  # isort: skip

from benchmarks.convert_caffe_resnet50 import main, read_tensorflowjs

State = dict[str, Tensor]

IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
IMAGENET_DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
STAGES = ((2, "abc", 64), (3, "abcd", 128), (4, "abcdef", 256), (5, "abc", 512))


def keras_resnet50() -> State:
    """Make random weights under Keras names, scaled so that activations neither vanish nor explode."""
    generator, state = torch.Generator().manual_seed(0), dict[str, Tensor]()

    def small(size: int) -> Tensor:
        return 0.1 * torch.randn(size, generator=generator)

    def about_one(size: int) -> Tensor:
        return 0.8 + 0.4 * torch.rand(size, generator=generator)

    def convolution(name: str, norm: str, kernel: int, inputs: int, outputs: int) -> None:
        spread = math.sqrt(2 / (kernel * kernel * inputs))
        state[f"{name}/kernel"] = spread * torch.randn(kernel, kernel, inputs, outputs, generator=generator)
        state[f"{name}/bias"] = small(outputs)
        state[f"{norm}/gamma"], state[f"{norm}/beta"] = about_one(outputs), small(outputs)
        state[f"{norm}/moving_mean"], state[f"{norm}/moving_variance"] = small(outputs), about_one(outputs)

    convolution("conv1", "bn_conv1", 7, 3, 64)
    state["bn_conv1/moving_variance"] *= 1e4  # the input of its convolution has values up to 150
    inputs = 64
    for stage, blocks, hidden in STAGES:
        for block in blocks:
            name = f"{stage}{block}_branch"
            if block == "a":
                convolution(f"res{name}1", f"bn{name}1", 1, inputs, 4 * hidden)
            convolution(f"res{name}2a", f"bn{name}2a", 1, inputs, hidden)
            convolution(f"res{name}2b", f"bn{name}2b", 3, hidden, hidden)
            convolution(f"res{name}2c", f"bn{name}2c", 1, hidden, 4 * hidden)
            inputs = 4 * hidden
    state["fc1000/kernel"], state["fc1000/bias"] = torch.zeros(2048, 1000), torch.zeros(1000)
    return state


def keras_output(state: State, picture: Tensor) -> Tensor:
    """Return the last stage's output for an RGB picture in 0..1, computed from the Keras tensors."""

    def convolution(x: Tensor, name: str, norm: str, stride: int, padding: int) -> Tensor:
        x = F.conv2d(x, state[f"{name}/kernel"].permute(3, 2, 0, 1), state[f"{name}/bias"], stride, padding)
        mean, variance = (state[f"{norm}/moving_{field}"][:, None, None] for field in ("mean", "variance"))
        gamma, beta = (state[f"{norm}/{field}"][:, None, None] for field in ("gamma", "beta"))
        return gamma * (x - mean) / (variance + 1e-5).sqrt() + beta

    # Caffe pads with its mean colour, and we pad with ImageNet's, half a grey level away. This is our only deviation.
    padded = F.pad(picture - IMAGENET_MEAN, (3, 3, 3, 3)) + IMAGENET_MEAN
    bgr = 255 * padded[:, [2, 1, 0]] - torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    x = F.max_pool2d(convolution(bgr, "conv1", "bn_conv1", 2, 0).relu(), 3, 2, 1)
    for stage, blocks, _ in STAGES:
        for block in blocks:
            name, stride = f"{stage}{block}_branch", 2 if block == "a" and stage > 2 else 1
            shortcut = convolution(x, f"res{name}1", f"bn{name}1", stride, 0) if block == "a" else x
            y = convolution(x, f"res{name}2a", f"bn{name}2a", stride, 0).relu()
            y = convolution(y, f"res{name}2b", f"bn{name}2b", 1, 1).relu()
            x = (convolution(y, f"res{name}2c", f"bn{name}2c", 1, 0) + shortcut).relu()
    return x


def write_tensorflowjs(folder: Path, state: State, shard_bytes: int) -> Path:
    folder.mkdir(exist_ok=True)
    values = b"".join(tensor.numpy().astype("<f4").tobytes() for tensor in state.values())
    shards = [values[start : start + shard_bytes] for start in range(0, len(values), shard_bytes)]
    names = [f"group1-shard{number}of{len(shards)}.bin" for number in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        (folder / name).write_bytes(shard)
    weights = [{"name": name, "shape": list(t.shape), "dtype": "float32"} for name, t in state.items()]
    manifest = {"modelTopology": {}, "weightsManifest": [{"paths": names, "weights": weights}]}
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder


def test_shards_are_read_as_one_stream_wherever_they_are_cut(tmp_path: Path) -> None:
    state = {"a/kernel": torch.arange(6.0).view(1, 1, 2, 3), "a/bias": torch.tensor([-1.0, 0.5, 7.0])}

    read = read_tensorflowjs(write_tensorflowjs(tmp_path, state, shard_bytes=13))

    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())


def test_the_written_file_is_torchvisions_and_computes_what_keras_does_once_strides_are_moved_back(
    tmp_path: Path,
) -> None:
    keras, picture = keras_resnet50(), torch.rand(1, 3, 75, 64, generator=torch.Generator().manual_seed(5))

    main(write_tensorflowjs(tmp_path / "ResNet50", keras, shard_bytes=30_000_001), tmp_path / "resnet50.pth")

    with torch.device("meta"):  # avoids generating 25 million random numbers
        resnet = torchvision.models.resnet50(weights=None)
    missing, unexpected = resnet.load_state_dict(torch.load(tmp_path / "resnet50.pth"), strict=False, assign=True)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])
    for stage in (resnet.layer2, resnet.layer3, resnet.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    resnet.avgpool, resnet.fc = torch.nn.Identity(), torch.nn.Identity()
    with torch.no_grad():
        output = resnet.eval()((picture - IMAGENET_MEAN) / IMAGENET_DEVIATION)
    expected = keras_output(keras, picture)
    assert expected.std() > 0.01
    assert (output.view_as(expected) - expected).abs().max() < 2e-4 * expected.abs().max()
