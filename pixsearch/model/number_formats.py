"""Which number format each forward of a checkpoint is computed in on a CPU."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

IN_FULL_PRECISION = frozenset({"embed_pictures", "locate_words"})
"""Forwards that are computed in fp32 also where bf16 is faster: little work, and shown or stored as they are."""

IN_INT8 = frozenset({"find_words", "match"})
"""Forwards whose matrices are multiplied in int8 where that is faster: a query's work, of which nothing is stored."""

_GROUP = 128
"""How many values of a vector are rounded with one scale: fewer take longer, more are coarser."""
_MULTIPLY_INT8 = frozenset({"avx512_vnni", "avx_vnni"})
"""Older CPUs multiply int8 in sums of 16 bits, which saturate."""
_FASTER_IN_BF16 = "amx_tile"


@dataclass(frozen=True)
class NumberFormats:
    """What a CPU multiplies natively."""

    bf16: bool = False
    int8: bool = False

    def __str__(self) -> str:
        """Return all that what is compiled depends on."""
        return repr({name: self.properties(name) for name in sorted(IN_FULL_PRECISION | IN_INT8 | {"others"})})

    def in_int8(self, forward: str) -> bool:
        """Return whether a forward's matrices are multiplied in int8."""
        return self.int8 and forward in IN_INT8

    def properties(self, forward: str) -> dict[str, str | int]:
        """Return OpenVINO's properties for a forward.

        With a group given, it rounds vectors to int8 before a product with a matrix that is kept in int8.
        """
        precision = "bf16" if self.bf16 and forward not in IN_FULL_PRECISION else "f32"
        group = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP} if self.in_int8(forward) else {}
        return {"INFERENCE_PRECISION_HINT": precision, **group}


def formats_of(capabilities: Collection[str], flags: Collection[str]) -> NumberFormats:
    """Return the fastest formats of a CPU.

    Args:
        capabilities: as OpenVINO names them.
        flags: as Linux names them; without any, int8 is not used.
    """
    # fp16, which ARM is faster in, is not taken: no such machine was at hand to compare its results on.
    int8 = not _MULTIPLY_INT8.isdisjoint(flags) and _FASTER_IN_BF16 not in flags
    return NumberFormats(bf16="BF16" in capabilities, int8=int8)


def cpu_flags() -> frozenset[str]:
    """Return what Linux calls the abilities of this CPU; nothing elsewhere."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "flags":
                return frozenset(value.split())
    return frozenset()
