"""Signs that a machine may have a GPU, found without importing torch, which takes seconds."""

from __future__ import annotations

from pathlib import Path

NVIDIA = Path("/dev/nvidiactl")
DRIVERS = (NVIDIA, Path("/dev/dxg"), Path("/dev/kfd"))
"""The device files of GPU drivers: NVIDIA's, that of WSL, AMD's."""


def may_have_gpu() -> bool:
    """Return whether a GPU's driver is present; torch may still find no GPU that it can use."""
    return any(driver.exists() for driver in DRIVERS)
