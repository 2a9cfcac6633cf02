"""The number formats in which a CPU computes the forward passes of a checkpoint."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

IN_FULL_PRECISION = frozenset({"embed_pictures", "locate_words"})
"""The forward passes that use fp32 even if bf16 is faster. They are cheap, and their results are shown or stored."""

IN_INT8 = frozenset({"find_words", "match"})
"""The forward passes that use int8 if it is faster. They only run for queries, and their results are not stored."""

_GROUP = 128
"""The number of values in a vector that share a scale. Smaller groups are slower, and larger ones less precise."""
_MULTIPLY_INT8 = frozenset({"avx512_vnni", "avx_vnni"})
"""The CPU flags for int8. One of them is required: older CPUs sum int8 products in 16 bits, which can saturate."""
_FASTER_IN_BF16 = "amx_tile"


@dataclass(frozen=True)
class NumberFormats:
    """The number formats that a CPU multiplies natively."""

    bf16: bool = False
    int8: bool = False

    def __str__(self) -> str:
        """Return a string that changes whenever models must be compiled again for these formats."""
        return repr({name: self.properties(name) for name in sorted(IN_FULL_PRECISION | IN_INT8 | {"others"})})

    def in_int8(self, forward: str) -> bool:
        """Return whether a forward pass multiplies its matrices in int8."""
        return self.int8 and forward in IN_INT8

    def properties(self, forward: str) -> dict[str, str | int]:
        """Return the OpenVINO properties for a forward pass.

        With a group size, OpenVINO rounds vectors to int8 before multiplying them by an int8 matrix.
        """
        precision = "bf16" if self.bf16 and forward not in IN_FULL_PRECISION else "f32"
        group = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP} if self.in_int8(forward) else {}
        return {"INFERENCE_PRECISION_HINT": precision, **group}


def formats_of(capabilities: Collection[str], flags: Collection[str]) -> NumberFormats:
    """Return the fastest formats on a CPU.

    Args:
        capabilities: the CPU's capabilities as named by OpenVINO.
        flags: the CPU's flags as named by Linux; if there are none, int8 is not used.
    """
    # fp16 is faster on ARM but is not used, because its results have not been tested there.
    int8 = not _MULTIPLY_INT8.isdisjoint(flags) and _FASTER_IN_BF16 not in flags
    return NumberFormats(bf16="BF16" in capabilities, int8=int8)


def cpu_flags() -> frozenset[str]:
    """Return the flags of this CPU on Linux; an empty set on other systems."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "flags":
                return frozenset(value.split())
    return frozenset()
