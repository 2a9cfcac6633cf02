"""What shows that a machine may have a GPU, without torch, which takes seconds to import."""

from __future__ import annotations

from pathlib import Path

NVIDIA = Path("/dev/nvidiactl")
DRIVERS = (NVIDIA, Path("/dev/dxg"), Path("/dev/kfd"))
"""What the drivers of GPUs show: NVIDIA's, the one of Windows' Linux, AMD's."""


def may_have_gpu() -> bool:
    """Return whether a GPU's driver is present; torch may still find no GPU that it can use."""
    return any(driver.exists() for driver in DRIVERS)
