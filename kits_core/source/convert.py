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
from kits_core.labels import Label
from kits_core.source.growing import Growing
from kits_core.source.nifti import MILLIMETRES, NiftiFacts, NiftiReader, case_of, open_nifti
from kits_core.source.verify import LabelVolume, count_labels, label_volumes

_CHUNK_VOXELS = 1 << 20
_SAMPLE_VOXELS = 1_000_000
PERCENTILES = (0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5)

Raw = npt.NDArray[Any]


@dataclass(frozen=True)
class ConvertedImage:
    """A converted scan. `facts`, `bytes` and `sha256` are those of the file written; `source_dtype` is what it was.

    `lossless`: every voxel has exactly the source's value. `hu_min`, `hu_max` over all voxels; `hu_percentiles`, keyed
    `p0.5` to `p99.5`, from a subsample of about a million.
    """

    path: Path
    facts: NiftiFacts
    bytes: int
    sha256: str
    source_dtype: str
    lossless: bool
    hu_min: float
    hu_max: float
    hu_percentiles: Mapping[str, float]


@dataclass(frozen=True)
class ConvertedSegmentation:
    """A converted segmentation. `facts`, `bytes` and `sha256` are those of the file written."""

    path: Path
    facts: NiftiFacts
    bytes: int
    sha256: str
    source_dtype: str
    volumes: tuple[LabelVolume, ...]


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """A scan in memory. `hu`: int16 where that loses nothing, else float32, as in the file. `facts`: of the file.

    `squeezed`: axes of length 1 left out. `placed`: the header says where the grid lies (by sform or qform).
    """

    hu: Raw
    facts: NiftiFacts
    squeezed: int
    placed: bool


class _NotInt16Error(Exception):
    """Some voxel does not fit; the caller starts again with another type."""


def convert_image(source: Path | Growing, target: Path, *, case: str | None = None) -> ConvertedImage:
    """Write the scan `source` (`.nii.gz` or `.nii`, any whole or floating type) as uncompressed NIfTI to `target`.

    Voxels become int16 HU with the header's scaling applied where that is lossless, else float32; the header is
    otherwise the source's, so the affine is the same to the last bit. About 30 MB of memory whatever the scan's size;
    a scan that turns out not to fit int16 is read twice. Raises `CaseError` naming `case` (by default the one in the
    path) for everything that `verify.inspect` refuses, and for NaN, infinity or values beyond float32.
    """
    case = case or case_of(source)
    try:
        return _convert_image(source, target, case, np.dtype(np.int16))
    except _NotInt16Error:
        return _convert_image(source, target, case, np.dtype(np.float32))


def convert_segmentation(source: Path | Growing, target: Path, *, case: str | None = None) -> ConvertedSegmentation:
    """Write the segmentation `source` as uncompressed uint8 NIfTI to `target`, counting its labels on the way.

    Raises `CaseError` naming `case` for everything that `verify.inspect` refuses and for values other than 0 to 3.
    """
    case = case or case_of(source)
    counts = np.zeros(len(Label), np.int64)

    def to_uint8(values: Raw) -> Raw:
        found = count_labels(case, values)
        np.add(counts, found, out=counts)
        return values.astype(np.uint8, copy=False)

    with open_nifti(source, case) as reader:
        size, digest = _write(reader, target, np.dtype(np.uint8), to_uint8)
        facts = reader.facts
    return ConvertedSegmentation(
        path=target,
        facts=_unscaled(facts, "uint8"),
        bytes=size,
        sha256=digest,
        source_dtype=facts.dtype,
        volumes=label_volumes([int(n) for n in counts], facts.voxel_ml),
    )


def load_image(source: Path, *, case: str | None = None) -> LoadedImage:
    """The scan `source`, which may have a fourth axis of length 1, as `convert_image` would write it.

    Raises `CaseError` naming `case` for everything that `convert_image` refuses.
    """
    case = case or case_of(source)
    try:
        return _load_image(source, case, np.dtype(np.int16))
    except _NotInt16Error:
        return _load_image(source, case, np.dtype(np.float32))


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
                "correct the scan at its source, then ingest it again",
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
        facts=_unscaled(facts, dtype.name),
        bytes=size,
        sha256=digest,
        source_dtype=facts.dtype,
        lossless=cast.lossless,
        hu_min=cast.low,
        hu_max=cast.high,
        hu_percentiles=cast.percentiles(),
    )


def _load_image(source: Path, case: str, dtype: np.dtype[Any]) -> LoadedImage:
    with open_nifti(source, case, squeeze=True) as reader:
        cast = _Hounsfield(reader, dtype)
        hu, filled = np.empty(reader.facts.voxels, dtype), 0
        for values in _values(reader):
            hu[filled : filled + values.size] = cast(values)
            filled += values.size
        placed = any(int(reader.header[code]) > 0 for code in ("sform_code", "qform_code"))
        return LoadedImage(hu.reshape(reader.facts.shape, order="F"), reader.facts, reader.squeezed, placed)


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
    """The source's header with another voxel type, no scaling, no extensions, little-endian, in mm."""
    header = reader.header.as_byteswapped("<")
    header.set_data_dtype(dtype)
    header["scl_slope"], header["scl_inter"] = np.nan, np.nan
    header["vox_offset"] = start = 16 * math.ceil((len(header.binaryblock) + 4) / 16)
    header["xyzt_units"] = MILLIMETRES
    block: bytes = header.binaryblock
    return block + b"\0" * (start - len(block))


def _sampling_stride(facts: NiftiFacts) -> int:
    """Every how many voxels one is sampled: coprime with the grid, or the sample would be a few columns of it."""
    stride = max(1, facts.voxels // _SAMPLE_VOXELS)
    while math.gcd(stride, facts.shape[0] * facts.shape[1]) != 1:
        stride += 1
    return stride


def _unscaled(facts: NiftiFacts, dtype: str) -> NiftiFacts:
    return NiftiFacts(facts.shape, dtype, facts.spacing_mm, facts.affine, facts.orientation, 1.0, 0.0)
