"""The CNNs, against published parameter counts and against convolutions worked out otherwise."""

from __future__ import annotations

import pytest
import torch

from pixsearch.model.backbones import BACKBONES, Backbone, SamePaddingConv2d, build_backbone, normalisation


@pytest.mark.parametrize(
    ("name", "millions", "channels"),
    [
        ("efficientnet_lite0", 4.65, 1280),
        ("efficientnet_lite1", 5.42, 1280),
        ("efficientnet_lite2", 6.09, 1280),
        ("resnet50", 25.56, 2048),
        ("resnet50_caffe", 25.56, 2048),
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


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(("size", "cells"), [((224, 224), (7, 7)), ((256, 96), (8, 3)), ((65, 40), (3, 2))])
def test_a_grid_cell_stands_for_32_by_32_pixels_rounded_up(
    name: str, size: tuple[int, int], cells: tuple[int, int]
) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name).eval()
        grid = backbone(torch.empty(1, 3, *size))

    assert tuple(grid.shape) == (1, backbone.channels, *cells)


def test_same_padding_puts_the_odd_pixel_behind() -> None:
    convolution = SamePaddingConv2d(1, 1, 3, stride=2, bias=False)
    torch.nn.init.ones_(convolution.weight)
    picture = torch.arange(16.0).view(1, 1, 4, 4)

    # 4 -> 2 needs one pixel of padding in all, which TensorFlow puts at the end: windows start at 0 and 2.
    # 0+1+2+4+5+6+8+9+10 = 45; 2+3+6+7+10+11 = 39; 8+9+10+12+13+14 = 66; 10+11+14+15 = 50.
    assert convolution(picture).flatten().tolist() == [45, 39, 66, 50]


def strides_in_the_second_stage(backbone: Backbone) -> list[tuple[int, ...]]:
    """Of the three convolutions of its first block."""
    modules = dict(backbone.named_modules())
    return [modules[f"stages.1.0.conv{number}"].stride for number in (1, 2, 3)]


def test_the_caffe_variant_halves_the_grid_in_the_first_convolution_of_a_stage() -> None:
    with torch.device("meta"):
        caffe, torchvision = build_backbone("resnet50_caffe"), build_backbone("resnet50")

    assert caffe.state_dict().keys() == torchvision.state_dict().keys()
    assert strides_in_the_second_stage(caffe) == [(2, 2), (1, 1), (1, 1)]
    assert strides_in_the_second_stage(torchvision) == [(1, 1), (2, 2), (1, 1)]


def test_normalisation_is_the_networks_own() -> None:
    mean, std = normalisation("resnet50")

    assert (mean, std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
