"""What the benchmarks share: CT-like files, a server in a process of its own, tables of medians and their ratio."""

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from kits_core.phantom.dataset import kits_affine
from kits_core.phantom.nifti_writer import write_nifti_gz

ROUNDS = 5

_SERVE = """
import sys
from pathlib import Path
from kits_core.phantom.server import DatasetServer, Hashes
root, latency_s, bytes_per_s, hashes = sys.argv[1:]
with DatasetServer(Path(root), latency_s=float(latency_s), bytes_per_s=float(bytes_per_s) or None,
                   hashes=Hashes(hashes)) as server:
    print(server.address, flush=True)
    for _ in sys.stdin:
        print(len(server.log), sum(server.bytes_sent.values()), flush=True)
"""


def write_scan(path: Path, shape: tuple[int, int, int], seed: int, dtype: npt.DTypeLike = np.int16) -> int:
    """A CT-like volume as `.nii.gz`: a body of soft tissue in air, noise in both; returns the archive's bytes."""
    rng = np.random.default_rng(seed)
    z, y, x = shape
    volume = np.empty(shape, np.int16)
    inside = ((np.arange(y)[:, None] / y - 0.5) ** 2 / 0.12 + (np.arange(x)[None] / x - 0.5) ** 2 / 0.2) < 1
    for number in range(z):
        noise = rng.standard_normal((y, x), dtype=np.float32)
        volume[number] = np.where(inside, 40 + 20 * noise, -1000 + 8 * noise)
    write_nifti_gz(path, volume, kits_affine((3.0, 0.8, 0.8)), dtype=dtype)
    return path.stat().st_size


def write_labels(path: Path, shape: tuple[int, int, int]) -> None:
    """A segmentation with a kidney and a tumour on the same grid."""
    labels = np.zeros(shape, np.uint8)
    z, y, x = (n // 2 for n in shape)
    labels[z - z // 4 : z + z // 4, y - y // 8 : y + y // 8, x // 2 : x // 2 + x // 8] = 1
    labels[z - z // 8 : z + z // 8, y - y // 16 : y + y // 16, x // 2 : x // 2 + x // 16] = 2
    write_nifti_gz(path, labels, kits_affine((3.0, 0.8, 0.8)), dtype=np.uint8)


def write_dataset(root: Path, cases: int, shape: tuple[int, int, int], dtype: npt.DTypeLike = np.float64) -> int:
    """`cases` cases in the official layout, of two different scans; bytes of all images together."""
    first = [root / f"case_{number:05d}" for number in range(min(2, cases))]
    for number, case in enumerate(first):
        write_scan(case / "imaging.nii.gz", shape, number, dtype)
        write_labels(case / "segmentation.nii.gz", shape)
    for number in range(len(first), cases):
        shutil.copytree(first[number % len(first)], root / f"case_{number:05d}")
    records = [{"case_id": f"case_{number:05d}"} for number in range(cases)]
    (root / "kits23.json").write_text(json.dumps(records))
    return sum(path.stat().st_size for path in root.glob("case_*/imaging.nii.gz"))


class Serving:
    """A `DatasetServer` in another process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.address = self._line()

    def counts(self) -> tuple[int, int]:
        """Requests answered and bytes of body sent until now."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        requests, sent = self._line().split()
        return int(requests), int(sent)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def serving(
    root: Path, *, latency_s: float = 0.0, bytes_per_s: float = 0.0, hashes: str = "linked"
) -> Iterator[Serving]:
    """Serve `root` on loopback from another process for the block; 0 bytes per second caps nothing."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(root), str(latency_s), str(bytes_per_s), hashes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Serving(process)
    finally:
        process.kill()
        process.wait()


def in_turn(ways: dict[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """What each way measures, `rounds` times, the ways taking turns."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, measure in ways.items():
            found[name].append(measure())
    return found


def medians(found: dict[str, list[float]]) -> dict[str, float]:
    """The median of each way."""
    return {way: statistics.median(values) for way, values in found.items()}


def show(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """A table for people, and the same as a line of JSON."""
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)
    print(json.dumps({"benchmark": title, "rows": rows}))


def compare(title: str, unit: str, found: dict[str, list[float]]) -> None:
    """Medians of two ways and how many times the second's value the first's is."""
    (one, ones), (two, twos) = found.items()
    a, b = statistics.median(ones), statistics.median(twos)
    show(title, [{"way": one, unit: a, "times": a / b}, {"way": two, unit: b, "times": 1.0}])


def show_markdown(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """A table in Markdown: whole numbers as they are, others to three digits."""
    print(f"\n**{title}**\n")
    print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(_short(value) for value in row.values())} |")


def _short(value: object) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
