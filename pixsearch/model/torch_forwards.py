"""Runs the forward passes of a checkpoint on a GPU with torch."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.devices import autocast
from pixsearch.model.forwards import FORWARDS
from pixsearch.model.number_formats import IN_FULL_PRECISION


class TorchForwards:
    """Runs the `pixsearch.model.forwards.FORWARDS` with torch. Has the same interface as `CompiledForwards`."""

    pictures_at_once, pairs_at_once = 64, 64

    def __init__(self, folder: Path, device: torch.device) -> None:
        """Load the checkpoint in a folder. Raises CheckpointInvalid."""
        network, _ = load_checkpoint(folder)
        self._device = device
        self._forwards = {name: forward(network).to(device) for name, forward in FORWARDS.items()}

    def prepare(self, name: str, *, kept_only: bool = False) -> None:
        """Do nothing, because the network is already loaded."""

    def run(self, name: str, *inputs: NDArray[Any]) -> NDArray[Any]:
        tensors = [torch.from_numpy(values).to(self._device) for values in inputs]
        with torch.inference_mode(), nullcontext() if name in IN_FULL_PRECISION else autocast(self._device):
            result: NDArray[Any] = self._forwards[name](*tensors).float().cpu().numpy()
        return result
