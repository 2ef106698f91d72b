"""The processor of this machine: its name, and the instruction sets that decide how fast a network runs on it."""

from dataclasses import dataclass

import archspec.cpu
from archspec.cpu.detect import detected_info

_VECTOR_SETS = (
    "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16",
    "neon", "asimd", "bf16", "i8mm", "sve", "sve2",
)  # fmt: skip


@dataclass(frozen=True)
class Cpu:
    """`name`: what the maker calls it. `kind`: its microarchitecture, as `zen3`, by archspec's list.

    `instruction_sets`: those of its vector units, as `avx2`. A processor that archspec does not know has a generic
    kind, such as `x86_64_v4`, and may have more of them than that kind says.
    """

    name: str
    kind: str
    instruction_sets: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}: {', '.join(self.instruction_sets) or 'no vector units known'})"


def this_cpu() -> Cpu:
    """The processor that this process runs on."""
    host = archspec.cpu.host()
    # A processor that archspec does not know yet counts as an older, generic one with fewer instruction sets.
    features = host.features | detected_info().features
    name = archspec.cpu.brand_string() or host.vendor
    return Cpu(" ".join(name.split()), host.name, tuple(known for known in _VECTOR_SETS if known in features))
