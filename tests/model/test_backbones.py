"""The CNNs, checked against published parameter counts and independently computed convolutions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from pixsearch.model.backbones import BACKBONES, SamePaddingConv2d, build_backbone, normalisation


@pytest.mark.parametrize(
    ("name", "millions", "channels"),
    [
        ("efficientnet_lite0", 4.65, 1280),
        ("efficientnet_lite1", 5.42, 1280),
        ("efficientnet_lite2", 6.09, 1280),
        ("resnet50", 25.56, 2048),
        ("resnext152_32x8d", 122.37, 2048),  # see below
    ],
)
def test_a_backbone_with_its_classifier_has_as_many_parameters_as_published(
    name: str, millions: float, channels: int
) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name)
    classifier = channels * 1000 + 1000

    parameters = sum(parameter.numel() for parameter in backbone.parameters())

    assert (parameters + classifier) / 1e6 == pytest.approx(millions, abs=0.005)
    assert backbone.channels == channels


def resnext_parameters(blocks: tuple[int, ...], groups: int, width: int) -> int:
    """Count the parameters of a ResNeXt model with its classifier, layer by layer (Xie et al., 2017, table 1)."""
    count = 3 * 64 * 7 * 7 + 2 * 64  # the stem and its batch norm
    inputs = 64
    for stage, repeats in enumerate(blocks):
        hidden, outputs = groups * width * 2**stage, 256 * 2**stage
        for repeat in range(repeats):
            count += inputs * hidden + hidden * hidden // groups * 9 + hidden * outputs + 4 * hidden + 2 * outputs
            if repeat == 0:
                count += inputs * outputs + 2 * outputs  # the shortcut
            inputs = outputs
    return count + 2048 * 1000 + 1000


def test_resnext_152_is_resnext_101_with_the_blocks_of_resnet_152() -> None:
    """ResNeXt-101 32x8d has 88,791,336 parameters in torchvision. ResNet-152 has 3, 8, 36, 3 blocks."""
    assert resnext_parameters((3, 4, 23, 3), 32, 8) == 88_791_336
    assert resnext_parameters((3, 8, 36, 3), 32, 8) == 122_372_392

    with torch.device("meta"):
        backbone = build_backbone("resnext152_32x8d")
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    assert parameters + 2048 * 1000 + 1000 == 122_372_392


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(("size", "cells"), [((224, 224), (7, 7)), ((256, 96), (8, 3)), ((65, 40), (3, 2))])
def test_a_grid_cell_covers_32_by_32_pixels_rounded_up(
    name: str, size: tuple[int, int], cells: tuple[int, int]
) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name).eval()
        grid = backbone(torch.empty(1, 3, *size))

    assert tuple(grid.shape) == (1, backbone.channels, *cells)


def test_same_padding_puts_the_odd_pixel_at_the_end() -> None:
    convolution = SamePaddingConv2d(1, 1, 3, stride=2, bias=False)
    torch.nn.init.ones_(convolution.weight)
    picture = torch.arange(16.0).view(1, 1, 4, 4)

    # 4 -> 2 needs one pixel of padding, which TensorFlow adds at the end: windows start at 0 and 2. 0+1+2+4+5+6+8+9+10
    # = 45; 2+3+6+7+10+11 = 39; 8+9+10+12+13+14 = 66; 10+11+14+15 = 50.
    assert convolution(picture).flatten().tolist() == [45, 39, 66, 50]


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize(("height", "width"), [(7, 8), (6, 5), (1, 2)])
def test_same_padding_agrees_with_a_sum_over_every_window(kernel: int, stride: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    convolution = SamePaddingConv2d(2, 3, kernel, stride, bias=False)
    picture, weight = np.random.default_rng(0).normal(size=(2, height, width)), convolution.weight.detach().numpy()

    # TensorFlow's rule: ceil(size / stride) windows, with the padding split evenly and the odd pixel at the end.
    rows, columns = -(-height // stride), -(-width // stride)
    tops = [row * stride - max((rows - 1) * stride + kernel - height, 0) // 2 for row in range(rows)]
    lefts = [column * stride - max((columns - 1) * stride + kernel - width, 0) // 2 for column in range(columns)]
    expected = np.zeros((3, rows, columns))
    for row, column, y, x in itertools.product(range(rows), range(columns), range(kernel), range(kernel)):
        if 0 <= tops[row] + y < height and 0 <= lefts[column] + x < width:
            expected[:, row, column] += weight[:, :, y, x] @ picture[:, tops[row] + y, lefts[column] + x]

    with torch.no_grad():
        (output,) = convolution(torch.tensor(picture[None], dtype=torch.float32))
    assert output.numpy() == pytest.approx(expected, abs=1e-5)


def strides_of_the_first_blocks(name: str) -> list[list[tuple[int, int]]]:
    """Return the strides of the three convolutions and the shortcut in the first block of each stage."""
    with torch.device("meta"):
        backbone = build_backbone(name)
    convolutions = ("conv1", "conv2", "conv3", "downsample.0")
    return [
        [backbone.get_submodule(f"stages.{stage}.0.{convolution}").stride for convolution in convolutions]  # type: ignore[misc]
        for stage in range(4)
    ]


def test_resnet_halves_the_grid_in_the_3x3_convolution_of_a_stages_first_block() -> None:
    one, two = (1, 1), (2, 2)

    assert strides_of_the_first_blocks("resnet50") == [[one] * 4] + 3 * [[one, two, one, two]]


def test_normalisation_is_that_of_the_network() -> None:
    mean, std = normalisation("resnet50")

    assert (mean, std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
