"""EfficientNet-Lite's classifier as a teacher: its probabilities, and what the maps learn from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from pixsearch.errors import CheckpointInvalid, ModelNotFound, PixsearchError
from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.progress import silent
from pixsearch_trainer.classes import PROMPTS, ClassTeacher, classify
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.starting_weights import read_classifier
from tests.trainer.made_up import chance, pixels_of, unit_vectors
from tests.trainer.test_starting_weights import Lite0, random_picture


def classifier_in(folder: Path) -> Lite0:
    """Save an EfficientNet-Lite0 model whose random weights tell classes apart."""
    made = Lite0(folder / "efficientnet-lite0-1a2b.pth")
    made(random_picture(64, 64))
    made.state["_fc.weight"] = 0.03 * torch.randn(1000, 1280, generator=chance())
    made.state["_fc.bias"] = torch.randn(1000, generator=chance(1))
    torch.save(made.state, made.file)
    return made


def test_a_picture_has_each_class_as_likely_as_its_package_computes(
    packed: list[CaptionedPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some machines would use bf16.
    monkeypatch.setattr("pixsearch_trainer.classes.autocast", lambda _device: nullcontext())
    lite0 = classifier_in(tmp_path)

    found = classify("efficientnet_lite0", str(lite0.file), packed[:3], torch.device("cpu"), silent)

    raw = (pixels_of(packed[:3]) * 128 + 127).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    large = [Image.fromarray(picture).resize((224, 224), Image.Resampling.BICUBIC) for picture in raw]
    pixels = torch.from_numpy((np.stack([np.asarray(one, np.float32) for one in large]) - 127) / 128)
    features = lite0(pixels.permute(0, 3, 1, 2)).mean((2, 3))
    expected = (features @ lite0.state["_fc.weight"].T + lite0.state["_fc.bias"]).softmax(1)
    assert len(PROMPTS) == 1000
    assert PROMPTS[207] == "a photo of a golden retriever"
    assert found.shape == (3, 1000)
    assert torch.allclose(found.float(), expected, rtol=1e-2, atol=1e-6)
    assert (expected.amax(1) > 0.01).all()  # 0.001 by chance
    assert not torch.allclose(expected[0], expected[1], rtol=0.1)


def test_a_picture_is_held_to_the_probabilities_of_its_own_classes(tiny_start: Path) -> None:
    maps, prompts, images = load_checkpoint(tiny_start)[0].maps, unit_vectors(2, 32), unit_vectors(2, 16, seed=3)
    teacher = ClassTeacher(torch.tensor([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]).half(), prompts, weight=0.2)

    found = teacher.loss(maps, images, torch.tensor([2, 0]))

    losses = []
    for image, probabilities in zip(images, ([1.0, 0.0], [0.25, 0.75]), strict=True):
        logits = [20 * float(image @ text) for text in F.normalize(maps.text(prompts), dim=1).detach()]
        rest = math.log(sum(map(math.exp, logits)))
        losses.append(sum(share * (rest - logit) for share, logit in zip(probabilities, logits, strict=True)))
    assert found.item() == pytest.approx(sum(losses) / 2, rel=1e-4)
    found.backward()
    assert maps.text_map.weight.grad is not None


def without(state: dict[str, torch.Tensor]) -> None:
    del state["_fc.weight"]


def of_ten_classes(state: dict[str, torch.Tensor]) -> None:
    state["_fc.weight"], state["_fc.bias"] = state["_fc.weight"][:10], state["_fc.bias"][:10]


@pytest.mark.parametrize("change", [without, of_ten_classes])
def test_weights_without_imagenets_classes_are_refused_in_one_line(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    lite0 = classifier_in(tmp_path)
    change(lite0.state)
    torch.save(lite0.state, lite0.file)

    with pytest.raises(CheckpointInvalid, match=r"1a2b\.pth has no classifier for ImageNet's 1,000 classes") as refusal:
        read_classifier("efficientnet_lite0", str(lite0.file))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("backbone", "error", "what"),
    [
        ("resnet50", CheckpointInvalid, "resnet50 does not support a classifier"),
        ("efficientnet_lite0", ModelNotFound, "classifier file 'torchvision' not found"),
    ],
)
def test_a_classifier_that_is_not_there_is_refused(backbone: str, error: type[PixsearchError], what: str) -> None:
    with pytest.raises(error, match=what):
        read_classifier(backbone, "torchvision")
