"""Decides whether a GPU is used. Its driver shows that there may be one; importing torch would take seconds."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

from pixsearch.extras import pip

NVIDIA = Path("/dev/nvidiactl")
DRIVERS = (NVIDIA, Path("/dev/dxg"), Path("/dev/kfd"))
"""The device files of GPU drivers: NVIDIA's, that of WSL, AMD's."""


def may_have_gpu() -> bool:
    """Return whether a GPU's driver is present; torch may still find no GPU that it can use."""
    return any(driver.exists() for driver in DRIVERS)


def uses_gpu() -> bool:
    """Return whether torch can use a GPU here; where there may be none, torch is not imported."""
    if not (may_have_gpu() and _has_torch()):
        return False
    import torch

    return torch.cuda.is_available()


def _has_torch() -> bool:
    """Return whether the packages for a GPU are installed; log a warning if only NVIDIA's driver is."""
    missing = [name for name in ("torch", "torchvision", "transformers") if find_spec(name) is None]
    if missing and NVIDIA.exists():
        logging.getLogger(__name__).warning(
            "pixsearch: the CPU is used, because the GPU needs %s. Install what is missing with: %s",
            ", ".join(missing),
            pip("install", *missing),
        )
    return not missing
