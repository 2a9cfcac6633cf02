"""Weights from other projects, compared with independent implementations of their networks."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

import torchvision  # isort: skip
from transformers import BertConfig, BertModel, BertTokenizer  # isort: skip

from pixsearch.errors import CheckpointInvalid, ModelNotFound
from pixsearch.model.backbones import build_backbone
from pixsearch.model.checkpoints import load_checkpoint, save_checkpoint
from pixsearch.model.config import Calibration, Curve
from pixsearch.model.tensors import word_tensors
from pixsearch_trainer.starting_weights import Start, assemble, for_task, read_cnn
from tests.trainer.conftest import Loaded, refused
from tests.unsuitable_files import UNSUITABLE, in_time

State = dict[str, Tensor]

# EfficientNet-Lite0's stages: kernel, blocks, stride of the first block, channels.
LITE0 = [(3, 1, 1, 16), (3, 2, 2, 24), (5, 2, 2, 40), (3, 3, 2, 80), (5, 3, 1, 112), (5, 4, 2, 192), (3, 1, 1, 320)]


class Lite0:
    """EfficientNet-Lite0 on tensors named as in its package. Their values are random, and made on first use."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.state = {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}
        self._generator = torch.Generator().manual_seed(0)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the features for normalised pixels."""
        x = F.relu6(self._norm(self._same(pixels, "_conv_stem", 32, 3, 2), "_bn0"))
        blocks = [(k, stride if n == 0 else 1, outputs) for k, count, stride, outputs in LITE0 for n in range(count)]
        for number, (kernel, stride, outputs) in enumerate(blocks):
            block, start, hidden = f"_blocks.{number}.", x, x.shape[1] * (6 if number else 1)
            if number:
                x = F.relu6(self._norm(self._same(x, f"{block}_expand_conv", hidden, 1), f"{block}_bn0"))
            x = self._same(x, f"{block}_depthwise_conv", hidden, kernel, stride, groups=hidden)
            x = self._same(F.relu6(self._norm(x, f"{block}_bn1")), f"{block}_project_conv", outputs, 1)
            x = self._norm(x, f"{block}_bn2")
            x = x + start if x.shape == start.shape else x
        return F.relu6(self._norm(self._same(x, "_conv_head", 1280, 1), "_bn1"))

    def _same(self, x: Tensor, name: str, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> Tensor:
        shape = outputs, x.shape[1] // groups, kernel, kernel
        random = torch.randn(shape, generator=self._generator) * math.sqrt(2 / math.prod(shape[1:]))
        weight = self.state.setdefault(f"{name}.weight", random)
        # Kernels are odd in every layer: SAME is (kernel - 1) / 2 on both sides, except for even sizes at stride 2.
        before = [(kernel - 1 - (stride == 2 and size % 2 == 0)) // 2 for size in x.shape[-2:]]
        padded = F.pad(x, (before[1], kernel, before[0], kernel))
        rows, columns = (-(-size // stride) for size in x.shape[-2:])
        return F.conv2d(padded, weight, None, stride, 0, 1, groups)[..., :rows, :columns]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)
        mean, variance, weight, bias = (
            self.state.setdefault(f"{name}.{field}", least + 0.4 * torch.rand(x.shape[1], generator=self._generator))
            for field, least in (("running_mean", -0.2), ("running_var", 0.8), ("weight", 0.8), ("bias", -0.2))
        )
        standardised = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-3).sqrt()
        return weight[:, None, None] * standardised + bias[:, None, None]


def output_of(backbone: str, state: State, pixels: Tensor) -> Tensor:
    with torch.device("meta"):  # avoids generating 25 million random numbers
        network = build_backbone(backbone)
    network.load_state_dict(state, assign=True)
    with torch.no_grad():
        output = network.eval()(pixels)
    assert isinstance(output, Tensor)
    return output


def assert_close(output: Tensor, expected: Tensor) -> None:
    assert output.shape == expected.shape
    assert expected.std() > 0.01
    assert (output - expected).abs().max() < 2e-4 * expected.abs().max()


def random_picture(height: int, width: int) -> Tensor:
    """Return normalised pixels [1, 3, height, width]."""
    return 2 * torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(5)) - 1


@pytest.fixture(scope="module")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> Lite0:
    made = Lite0(tmp_path_factory.mktemp("lite0") / "efficientnet-lite0-1a2b.pth")
    made(random_picture(64, 64))
    torch.save(made.state, made.file)
    return made


@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 51)])
def test_an_efficientnet_lite_computes_what_its_package_computes(lite0: Lite0, height: int, width: int) -> None:
    pixels = random_picture(height, width)

    output = output_of("efficientnet_lite0", read_cnn("efficientnet_lite0", str(lite0.file)), pixels)

    assert_close(output, lite0(pixels))


def test_a_torchvision_resnet_computes_what_torchvision_computes_be_it_downloaded_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub/checkpoints/resnet50-11ad3fa6.pth"  # torch's download cache
    file.parent.mkdir(parents=True)
    theirs = torchvision.models.resnet50(weights=None).eval()
    torch.save(theirs.state_dict(), file)
    pixels = random_picture(64, 96)
    with torch.no_grad():
        expected = torch.nn.Sequential(*list(theirs.children())[:-2])(pixels)

    for source in (str(file), "torchvision"):
        assert_close(output_of("resnet50", read_cnn("resnet50", source), pixels), expected)


def test_weights_of_torchvision_that_are_not_there_are_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    with refused(ModelNotFound, r"not on this machine\. Download https://\S+\.pth, then use .*start\.cnn=FILE$"):
        read_cnn("resnet50", "torchvision")
    assert list(tmp_path.iterdir()) == []


def test_a_language_model_that_is_not_on_this_machine_is_not_downloaded(
    lite0: Lite0, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    with refused(ModelNotFound, r"Download it with: pixsearch model get hub:a/bert --language-model$"):
        assemble(Start(backbone="efficientnet_lite0", cnn=str(lite0.file), language_model="a/bert"))


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "resnet50"])
@pytest.mark.parametrize(
    "content",
    [b"", b"no pickle", [1, 2], {"name": torch.zeros(2)}, {"conv1.weight": torch.zeros(2)}],
    ids=["empty", "text", "a list", "a foreign tensor", "a wrong shape"],
)
def test_a_file_that_holds_no_such_cnn_is_refused_in_one_line(tmp_path: Path, backbone: str, content: object) -> None:
    file = tmp_path / "weights.pth"
    torch.save(content, file) if not isinstance(content, bytes) else file.write_bytes(content)

    with refused(CheckpointInvalid, f"does not contain {backbone} weights"):
        read_cnn(backbone, str(file))


def test_weights_of_a_smaller_sibling_are_refused(lite0: Lite0) -> None:
    with pytest.raises(CheckpointInvalid, match="does not contain efficientnet_lite2 weights"):
        read_cnn("efficientnet_lite2", str(lite0.file))


@pytest.mark.parametrize(
    ("backbone", "source", "message"),
    [
        ("vgg16", "torchvision", "unknown backbone 'vgg16'"),
        ("resnext152_32x8d", "torchvision", "no weights for resnext152_32x8d at 'torchvision'"),
        ("resnet50", "nowhere.pth", "no weights for resnet50 at 'nowhere.pth'"),
        ("efficientnet_lite2", "", "no weights for efficientnet_lite2 at ''"),
    ],
)
def test_a_cnn_that_does_not_exist_is_named(backbone: str, source: str, message: str) -> None:
    with pytest.raises(ModelNotFound, match=message):
        read_cnn(backbone, source)


WORDS = ["[PAD]", *(f"[unused{n}]" for n in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "cat", "##s"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny BERT model that accepts longer sentences than Pixel-BERT does."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
    )
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


def test_an_assembled_model_reads_words_as_its_bert_does_and_pixels_as_its_cnn_does(bert: Path, lite0: Lite0) -> None:
    sight: dict[str, Any] = {"input_size": 96, "longest_edge": 160, "resize": "shorter_edge", "pool": True}

    model, processor = assemble(
        Start(backbone="efficientnet_lite0", cnn=str(lite0.file), language_model=str(bert), **sight)
    )

    ids, mask = word_tensors(processor, ["a dog", "cats a cat"])
    theirs = BertModel.from_pretrained(bert, add_pooling_layer=False).eval()
    pixels = random_picture(96, 160)
    with torch.no_grad():
        states = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        read, grid = model.read_words(ids, mask), model.model.encode_grids([pixels[0]])[0]
    assert ids.tolist() == [[101, 104, 105, 102, 0, 0], [101, 106, 107, 104, 106, 102]]
    assert torch.allclose(read[0], states[0, :4].mean(0), atol=1e-5)
    assert torch.allclose(read[1], states[1].mean(0), atol=1e-5)
    assert_close(grid, F.max_pool2d(lite0(pixels), 2, ceil_mode=True).flatten(2).transpose(1, 2))
    transformer = {"width": 32, "layers": 2, "heads": 4, "feed_forward": 48}
    assert vars(model.config).items() >= (transformer | sight).items()
    assert not model.training


@pytest.mark.parametrize(
    ("config", "reason"),
    [("{", ""), ('{"model_type": "distilbert"}', "model type is distilbert"), ('{"model_type": "bert"}', "")],
)
def test_what_is_no_bert_is_refused_in_one_line(lite0: Lite0, tmp_path: Path, config: str, reason: str) -> None:
    (tmp_path / "config.json").write_text(config)

    for source, says in ((str(tmp_path), reason), ("", "no model is set")):
        message = rf"cannot load a BERT model from '{source}' \({says}.*--set start\.language_model"
        with refused(CheckpointInvalid, message):
            assemble(Start(backbone="efficientnet_lite0", cnn=str(lite0.file), language_model=source))


def test_a_network_of_another_task_has_the_same_cnn_and_transformer_and_cannot_search(
    loaded: Loaded, tmp_path: Path
) -> None:
    network, processor = loaded
    network.config = dataclasses.replace(network.config, calibration=Calibration(Curve(2.0, 1.0), Curve(2.0, 1.0)))

    other, its_processor = for_task("vqa", network, processor, ("yes", "no"))

    assert for_task("retrieval", network, processor) == (network, processor)
    assert (other.config.task, other.config.answers, other.config.calibration) == ("vqa", ("yes", "no"), None)
    assert its_processor.config == other.config
    shared = {name: tensor for name, tensor in other.state_dict().items() if name.startswith("model.")}
    assert len(shared) < len(other.state_dict())
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in shared.items())
    save_checkpoint(tmp_path, other, its_processor)
    with pytest.raises(CheckpointInvalid, match="for the task vqa and cannot be used to search"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_weights_and_a_language_model_that_are_no_files_are_not_waited_for(
    lite0: Lite0, tmp_path: Path, kind: str
) -> None:
    UNSUITABLE[kind](tmp_path / "config.json")
    start = Start(backbone="efficientnet_lite0", cnn=str(lite0.file), language_model=str(tmp_path))

    with in_time(), pytest.raises((CheckpointInvalid, ModelNotFound), match=r"config\.json"):
        read_cnn("resnet50", str(tmp_path / "config.json"))
    with in_time(), pytest.raises(CheckpointInvalid, match=r"not a regular file|larger than 16 GiB"):
        assemble(start)
