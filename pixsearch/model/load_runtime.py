"""Loads a model of any kind, so that callers do not need to know which kinds there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pixsearch.model.checkpoints import is_dual_encoder

if TYPE_CHECKING:
    from pixsearch.search.runtime import Runtime


def load_runtime(folder: Path, *, gpu: bool = True) -> Runtime:
    """Load the model in a checkpoint folder. With `gpu`, use a GPU if possible, which takes seconds to start.

    Raises CheckpointInvalid.
    """
    if is_dual_encoder(folder):
        from pixsearch.model.dual_encoder import DualEncoderRuntime

        return DualEncoderRuntime(folder, gpu=gpu)
    from pixsearch.model.runtime import PixelBertRuntime

    return PixelBertRuntime(folder, gpu=gpu)
