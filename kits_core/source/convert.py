"""`.nii.gz` to `.nii` as a stream: int16 HU where that loses nothing, uint8 labels, the same grid to the last bit."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kits_core.files import leave_page_cache, written_aside
from kits_core.geometry.header import clean_header, read_grid
from kits_core.labels import Label
from kits_core.source.growing import Growing
from kits_core.source.nifti import NiftiFacts, NiftiReader, case_of, open_nifti
from kits_core.source.verify import LabelVolume, label_volumes, to_labels

_CHUNK_VOXELS = 1 << 20
_SAMPLE_VOXELS = 1_000_000
PERCENTILES = (0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5)

Raw = npt.NDArray[Any]


@dataclass(frozen=True)
class ConvertedImage:
    """A converted scan. `facts`, `bytes` and `sha256` are those of the file written; `source_dtype` is what it was.

    `notes`: what of the source a reader should know, for people. `lossless`: every voxel has the source's very value.
    `hu_min`, `hu_max` over all voxels; `hu_percentiles`, keyed `p0.5` to `p99.5`, from a subsample of about a million.
    """

    path: Path
    facts: NiftiFacts
    bytes: int
    sha256: str
    source_dtype: str
    notes: tuple[str, ...]
    lossless: bool
    hu_min: float
    hu_max: float
    hu_percentiles: Mapping[str, float]


@dataclass(frozen=True)
class ConvertedSegmentation:
    """A converted segmentation. `facts`, `bytes` and `sha256` are those of the file written.

    `notes`: what of the source a reader should know, for people.
    """

    path: Path
    facts: NiftiFacts
    bytes: int
    sha256: str
    source_dtype: str
    notes: tuple[str, ...]
    volumes: tuple[LabelVolume, ...]


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """A scan in memory. `hu`: int16 where that loses nothing, else float32, as in the file. `facts`: of the file."""

    hu: Raw
    facts: NiftiFacts


@dataclass(frozen=True, eq=False)
class LoadedLabels:
    """A segmentation in memory. `labels`: uint8, values 0 to 3, as in the file. `facts`: of the file.

    `notes`: what of the file a reader should know, for people.
    """

    labels: npt.NDArray[np.uint8]
    facts: NiftiFacts
    notes: tuple[str, ...]


class _NotInt16Error(Exception):
    """A voxel does not fit into the type; the caller starts again with another one."""


def convert_image(source: Path | Growing, target: Path, *, case: str | None = None) -> ConvertedImage:
    """Write the scan `source` (`.nii.gz` or `.nii`, any whole or floating type) as uncompressed NIfTI to `target`.

    Voxels become int16 HU with the header's scaling applied where that is lossless, else float32; the header is made
    anew from what was understood of the source's, with the same affine to the last bit. About 30 MB of memory whatever
    the scan's size; a scan that turns out not to fit int16 is read twice. Raises `CaseError` naming `case` (by default
    the one in the path) for everything that `open_nifti` refuses, and for NaN, infinity or values beyond float32.
    """
    case = case or case_of(source)
    try:
        return _convert_image(source, target, case, np.dtype(np.int16))
    except _NotInt16Error:
        return _convert_image(source, target, case, np.dtype(np.float32))


def convert_segmentation(
    source: Path | Growing, target: Path, *, case: str | None = None, values: Mapping[int, Label] | None = None
) -> ConvertedSegmentation:
    """Write the segmentation `source` as uncompressed uint8 NIfTI to `target`, counting its labels on the way.

    `values`: the label of each value of the file; None where they are those of `Label`. Raises `CaseError` naming
    `case` for everything that `open_nifti` refuses and for values that are not within 0.01 of one that has a label.
    """
    case = case or case_of(source)
    with open_nifti(source, case) as reader:
        labels = _Labels(reader, values)
        size, digest = _write(reader, target, np.dtype(np.uint8), labels)
        facts = reader.facts
    return ConvertedSegmentation(
        path=target,
        facts=_written(reader, "uint8"),
        bytes=size,
        sha256=digest,
        source_dtype=facts.dtype,
        notes=labels.notes,
        volumes=label_volumes([int(n) for n in labels.counts], facts.voxel_ml),
    )


def load_image(source: Path, *, case: str, next_step: str) -> LoadedImage:
    """The scan `source` as `convert_image` would write it.

    Raises `CaseError` naming `case`, with `next_step`, for everything that `convert_image` refuses, and for more voxels
    than there is memory.
    """
    try:
        return _load_image(source, case, next_step, np.dtype(np.int16))
    except _NotInt16Error:
        return _load_image(source, case, next_step, np.dtype(np.float32))


def load_labels(source: Path, *, case: str, next_step: str) -> LoadedLabels:
    """The segmentation `source` as `convert_segmentation` would write it.

    Raises `CaseError` naming `case`, with `next_step`, for everything that `convert_segmentation` refuses, and for more
    voxels than there is memory.
    """
    with open_nifti(source, case, next_step=next_step) as reader:
        labels = _Labels(reader)
        found = _all_values(reader, np.dtype(np.uint8), labels)
        return LoadedLabels(found, reader.facts, labels.notes)


class _Labels:
    """Casts chunks to uint8, and counts the voxels of each label."""

    def __init__(self, reader: NiftiReader, meanings: Mapping[int, Label] | None = None) -> None:
        self._reader, self._rounded, self._meanings = reader, False, meanings
        self.counts = np.zeros(len(Label), np.int64)

    def __call__(self, values: Raw) -> Raw:
        labels, rounded = to_labels(values, self._reader.error, self._meanings)
        self._rounded |= rounded
        # Four comparisons of bytes take an eighth of the time of `bincount`, which converts each byte to 64 bits.
        self.counts += [np.count_nonzero(labels == label) for label in Label]
        return labels

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the file a reader should know."""
        rounded = ("labels that were nearly whole numbers were rounded",) if self._rounded else ()
        return (*self._reader.facts.notes, *rounded)


class _Hounsfield:
    """Casts chunks to the output's type, and keeps the extremes and a sample of the values."""

    def __init__(self, reader: NiftiReader, dtype: np.dtype[Any]) -> None:
        self._reader, self._dtype = reader, dtype
        self._stride = _sampling_stride(reader.facts)
        self._phase = 0
        self._sample: list[npt.NDArray[np.float64]] = []
        self.low, self.high, self.lossless = math.inf, -math.inf, True

    def __call__(self, values: Raw) -> Raw:
        cast = self._cast(values)
        self._sample.append(values[self._phase :: self._stride].astype(np.float64))
        self._phase = (self._phase - len(values)) % self._stride
        return cast

    def _cast(self, values: Raw) -> Raw:
        with np.errstate(invalid="ignore", over="ignore"):  # NaN, and what no int16 can hold, is looked for below
            cast = values.astype(self._dtype, copy=False)
        if np.array_equal(cast, values):
            self._widen(cast)  # of fewer bytes than the source's values
            return cast
        self._widen(values)
        if self._dtype == np.int16:
            raise _NotInt16Error
        self.lossless = False
        return cast

    def _widen(self, values: Raw) -> None:
        """Take note of the extremes."""
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise self._reader.error(
                "a finite HU value in every voxel",
                "NaN or infinity",
            )
        if max(-low, high) > float(np.finfo(np.float32).max):
            raise self._reader.error("HU values", f"values from {low:g} to {high:g}")
        self.low, self.high = min(self.low, low), max(self.high, high)

    def percentiles(self) -> dict[str, float]:
        """HU by percentile, keyed `p50`."""
        found = np.percentile(np.concatenate(self._sample), PERCENTILES)
        return {f"p{percent:g}": float(value) for percent, value in zip(PERCENTILES, found, strict=True)}


def _convert_image(source: Path | Growing, target: Path, case: str, dtype: np.dtype[Any]) -> ConvertedImage:
    with open_nifti(source, case) as reader:
        cast = _Hounsfield(reader, dtype)
        size, digest = _write(reader, target, dtype, cast)
        facts = reader.facts
    return ConvertedImage(
        path=target,
        facts=_written(reader, dtype.name),
        bytes=size,
        sha256=digest,
        source_dtype=facts.dtype,
        notes=facts.notes,
        lossless=cast.lossless,
        hu_min=cast.low,
        hu_max=cast.high,
        hu_percentiles=cast.percentiles(),
    )


def _load_image(source: Path, case: str, next_step: str, dtype: np.dtype[Any]) -> LoadedImage:
    with open_nifti(source, case, next_step=next_step) as reader:
        cast = _Hounsfield(reader, dtype)
        return LoadedImage(_all_values(reader, dtype, cast), reader.facts)


def _all_values(reader: NiftiReader, dtype: np.dtype[Any], cast: Callable[[Raw], Raw]) -> Raw:
    shape, filled = reader.facts.shape, 0
    try:
        found = np.empty(reader.facts.voxels, dtype)
    except MemoryError:
        got = f"{' x '.join(map(str, shape))} voxels by its header"
        raise reader.error("a size that fits into memory", got) from None
    for values in _values(reader):
        found[filled : filled + values.size] = cast(values)
        filled += values.size
    return found.reshape(shape, order="F")


def _write(reader: NiftiReader, target: Path, dtype: np.dtype[Any], cast: Callable[[Raw], Raw]) -> tuple[int, str]:
    """Stream header and voxels to `target`, atomically; returns bytes and SHA-256 of the file."""
    digest, size = hashlib.sha256(), 0
    with written_aside(target, suffix=".nii") as aside, aside.open("wb") as file:
        for piece in _pieces(reader, dtype, cast):
            file.write(piece)
            digest.update(piece)
            size += memoryview(piece).nbytes
        leave_page_cache(file)
    return size, digest.hexdigest()


def _pieces(reader: NiftiReader, dtype: np.dtype[Any], cast: Callable[[Raw], Raw]) -> Iterator[bytes | memoryview]:
    yield _header(reader, dtype)
    for values in _values(reader):
        written: npt.NDArray[np.generic] = np.ascontiguousarray(cast(values), dtype=dtype.newbyteorder("<"))
        yield written.view(np.uint8).data


def _values(reader: NiftiReader) -> Iterator[Raw]:
    """The voxels in pieces, with the header's scaling applied."""
    slope, intercept = reader.facts.slope, reader.facts.intercept
    for stored in reader.chunks(_CHUNK_VOXELS):
        yield stored if (slope, intercept) == (1.0, 0.0) else stored.astype(np.float64) * slope + intercept


def _header(reader: NiftiReader, dtype: np.dtype[Any]) -> bytes:
    header = clean_header(reader.header, reader.grid, dtype)
    header["vox_offset"] = start = 16 * math.ceil((len(header.binaryblock) + 4) / 16)
    block: bytes = header.binaryblock
    return block + b"\0" * (start - len(block))


def _sampling_stride(facts: NiftiFacts) -> int:
    """The sampling step in voxels. It shares no factor with the grid; otherwise the sample would be a few columns."""
    stride = max(1, facts.voxels // _SAMPLE_VOXELS)
    while math.gcd(stride, facts.shape[0] * facts.shape[1]) != 1:
        stride += 1
    return stride


def _written(reader: NiftiReader, dtype: str) -> NiftiFacts:
    """The facts of what was written: its grid as it is read back, without scaling."""
    grid = read_grid(clean_header(reader.header, reader.grid, np.dtype(dtype)))
    affine = tuple(tuple(float(v) for v in row) for row in grid.affine)
    return NiftiFacts(grid.shape, dtype, grid.spacing_mm, affine, reader.facts.orientation, 1.0, 0.0)
