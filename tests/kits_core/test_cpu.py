import platform
from pathlib import Path

import pytest

from kits_core.cpu import Cpu, this_cpu


def test_it_names_this_machine_s_vector_units():
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not cpuinfo.exists():
        pytest.skip("reads the flags of Linux on x86-64")
    (flags, *_) = (line.split()[2:] for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    found = this_cpu()
    assert set(found.instruction_sets) == set(flags) & {
        "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16",
    }  # fmt: skip
    assert found.name in cpuinfo.read_text()


def test_it_reads_as_one_line():
    assert str(Cpu("AMD EPYC", "zen3", ("avx2", "fma"))) == "AMD EPYC (zen3: avx2, fma)"
