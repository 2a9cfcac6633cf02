"""Decides whether to use a GPU. The driver is checked first, because importing torch takes seconds."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

from pixsearch.extras import pip

NVIDIA = Path("/dev/nvidiactl")
DRIVERS = (NVIDIA, Path("/dev/dxg"), Path("/dev/kfd"))
"""The device files of the GPU drivers for NVIDIA, WSL and AMD."""


def may_have_gpu() -> bool:
    """Return whether a GPU driver is present. torch may still be unable to use the GPU."""
    return any(driver.exists() for driver in DRIVERS)


def uses_gpu() -> bool:
    """Return whether torch can use a GPU on this machine. Without a GPU driver, torch is not imported."""
    if not (may_have_gpu() and _has_torch()):
        return False
    import torch

    return torch.cuda.is_available()


def _has_torch() -> bool:
    """Return whether the packages for a GPU are installed. If not, log a warning on machines with an NVIDIA driver."""
    missing = [name for name in ("torch", "torchvision", "transformers") if find_spec(name) is None]
    if missing and NVIDIA.exists():
        logging.getLogger(__name__).warning(
            "pixsearch: using the CPU, because the GPU requires %s. To use the GPU, run: %s",
            ", ".join(missing),
            pip("install", *missing),
        )
    return not missing
