from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from tests.trainer.made_up import chance


@pytest.fixture
def network(tiny_start: Path) -> PixelBertForRetrieval:
    """The tiny network with all that scores a pair having a say."""
    network = load_checkpoint(tiny_start)[0]
    network.late_interaction.scale.data.fill_(5.0)
    network.late_weight.data.fill_(3.0)
    head = network.itm_head.get_parameter("2.weight")
    head.data.copy_(torch.randn(head.shape, generator=chance()))
    return network
