"""The CNNs that turn a picture into a grid of pixel features (Pixel-BERT, section 3.2).

A backbone is a module with the attributes `channels` (features per pixel), `stride` (picture pixels per grid cell) and
`mean` / `std` (used to normalise RGB pictures with values in 0..1). Its `forward` maps [batch, 3, height, width] to
[batch, channels, height / stride, width / stride].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

import torchvision  # isort: skip


class Backbone(nn.Module):
    """The base class for all CNNs. The module docstring describes its attributes."""

    channels: int
    stride: int = 32
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class ResNet(Backbone):
    """torchvision's ResNet with bottleneck blocks and no classifier (He et al., 2016): 2048 channels, stride 32.

    With more than one group, it is a ResNeXt (Xie et al., 2017). The larger CNN in the paper has 152 layers and 32
    groups of 8 channels.
    """

    channels = 2048
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, blocks: tuple[int, int, int, int], groups: int = 1, width_per_group: int = 64) -> None:
        """Build the network with random weights.

        Args:
            blocks: the number of bottleneck blocks in each stage.
            groups: the number of groups in the 3x3 convolutions.
            width_per_group: the channels of each group in the first stage.
        """
        super().__init__()
        bottleneck = torchvision.models.resnet.Bottleneck
        resnet = torchvision.models.ResNet(bottleneck, list(blocks), groups=groups, width_per_group=width_per_group)
        self.stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.stages = nn.Sequential(resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4)

    def forward(self, pixels: Tensor) -> Tensor:
        grid: Tensor = self.stages(self.stem(pixels))
        return grid


class SamePaddingConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding.

    The output size is ceil(input / stride). If the total padding is odd, the extra pixel goes at the end.
    """

    def forward(self, x: Tensor) -> Tensor:
        # Convert the sizes to int, so that a trace records the whole calculation as a constant and not just half of it.
        # This is possible because the padding is the same for all multiples of the CNN's stride.
        sizes = map(int, x.shape[-2:])
        pad_height, pad_width = (
            max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            for size, stride, kernel in zip(sizes, self.stride, self.kernel_size, strict=True)
        )
        top, left = pad_height // 2, pad_width // 2
        x = F.pad(x, (left, pad_width - left, top, pad_height - top))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        SamePaddingConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
    )


class InvertedResidual(nn.Module):
    """The MobileNetV2 block (Sandler et al., 2018) as used in EfficientNet-Lite: expand, depthwise, project, ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = _conv_bn(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = _conv_bn(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _conv_bn(hidden, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        hidden = x if self.expand is None else F.relu6(self.expand(x))
        projected: Tensor = self.project(F.relu6(self.depthwise(hidden)))
        return projected + x if self.residual else projected


# The stages of EfficientNet-B0 (Tan and Le, 2019, table 1): expansion, output channels, blocks, stride of the first
# block, kernel size.
_EFFICIENTNET_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class EfficientNetLite(Backbone):
    """EfficientNet-Lite without its classifier: 1280 channels, stride 32.

    The Lite variants of EfficientNet have no squeeze-and-excitation and use ReLU6 instead of swish. The stem, the head
    and the depth of the first and last stages are not scaled.
    """

    channels = 1280
    mean = (127 / 255, 127 / 255, 127 / 255)
    std = (128 / 255, 128 / 255, 128 / 255)

    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        self.stem = _conv_bn(3, 32, 3, stride=2)
        blocks, inputs = [], 32
        last = len(_EFFICIENTNET_STAGES) - 1
        for stage, (expansion, channels, repeats, stride, kernel) in enumerate(_EFFICIENTNET_STAGES):
            outputs = _round_channels(channels * width)
            if stage not in (0, last):
                repeats = math.ceil(repeats * depth)
            for repeat in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = _conv_bn(inputs, self.channels, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        return F.relu6(self.head(self.blocks(F.relu6(self.stem(pixels)))))


def _round_channels(channels: float) -> int:
    """Round to the nearest multiple of 8, or up if rounding down would remove more than 10% (EfficientNet's rule)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "resnet50": lambda: ResNet((3, 4, 6, 3)),
    "resnext152_32x8d": lambda: ResNet((3, 8, 36, 3), groups=32, width_per_group=8),
    "efficientnet_lite0": lambda: EfficientNetLite(width=1.0, depth=1.0),
    "efficientnet_lite1": lambda: EfficientNetLite(width=1.0, depth=1.1),
    "efficientnet_lite2": lambda: EfficientNetLite(width=1.1, depth=1.2),
}


def build_backbone(name: str) -> Backbone:
    """Return the CNN with the given name, a key of `BACKBONES`, with random weights.

    The caller must freeze the batch norm statistics by keeping the backbone in eval mode.
    """
    return BACKBONES[name]()


@cache
def normalisation(name: str) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the mean and standard deviation with which to normalise RGB pictures in 0..1 for the named CNN."""
    with torch.device("meta"):
        backbone = build_backbone(name)
    return backbone.mean, backbone.std
