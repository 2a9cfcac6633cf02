"""The network for each task."""

from __future__ import annotations

from pixsearch.model.config import PixelBertConfig
from pixsearch.model.nlvr2 import PixelBertForNLVR2
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.vqa import PixelBertForVQA

Network = PixelBertForRetrieval | PixelBertForVQA | PixelBertForNLVR2

_NETWORKS: dict[str, type[Network]] = {
    "retrieval": PixelBertForRetrieval,
    "vqa": PixelBertForVQA,
    "nlvr2": PixelBertForNLVR2,
}


def build_network(config: PixelBertConfig) -> Network:
    """Return the network for the config's task, with random weights."""
    return _NETWORKS[config.task](config)
