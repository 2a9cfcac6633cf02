from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pixsearch.model.checkpoints import load_checkpoint, save_checkpoint
from tests.tiny_checkpoint import make_tiny_checkpoint


@pytest.fixture(scope="session")
def active_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny checkpoint whose joint stream and late interaction are not zero."""
    folder = make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    model, processor = load_checkpoint(folder)
    torch.manual_seed(0)
    for parameter in model.itm_head.parameters():
        torch.nn.init.normal_(parameter)
    model.late_weight.data.fill_(3.0)
    model.late_interaction.scale.data.fill_(10.0)
    save_checkpoint(folder, model, processor)
    return folder
