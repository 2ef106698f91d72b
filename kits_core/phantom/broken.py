"""Cases with broken files, as real sources have them: one kind of damage at a time."""

import gzip
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from kits_core.phantom.dataset import IMAGE_NAME, SEGMENTATION_NAME, SUMS_NAME, write_sums

Block = bytearray
_HEADER_BYTES = 352
_BOMB_BYTES = 256 << 20


class Damage(StrEnum):
    """What is wrong with a file of a case."""

    TRAILING_GARBAGE = "trailing_garbage"
    """Bytes after the gzip stream."""
    BIT_FLIP = "bit_flip"
    """A bit of the compressed data is wrong, the length is right."""
    TRUNCATED = "truncated"
    """The gzip stream ends in the middle."""
    ZERO_BYTES = "zero_bytes"
    """An empty file."""
    WEB_PAGE = "web_page"
    """An error page under the file's name."""
    SHORT_DATA = "short_data"
    """Fewer voxels than the header says, in a whole gzip stream."""
    BOMB = "bomb"
    """Far more data than the header says, small on disk."""
    NAN_AFFINE = "nan_affine"
    INF_AFFINE = "inf_affine"
    FOUR_D = "four_d"
    """A fourth axis of length 2."""
    METRES = "metres"
    """Spacing in metres."""
    NAN_VOXELS = "nan_voxels"
    NOT_HU = "not_hu"
    """Values from 0 to 1, as a normalised image has them."""
    OFFSET_HU = "offset_hu"
    """HU + 1024, as stored without the rescale intercept."""
    WRONG_LABELS = "wrong_labels"
    """A voxel with label 7."""
    FRACTIONAL_LABELS = "fractional_labels"
    """A voxel with label 1.5."""
    SHAPE_MISMATCH = "shape_mismatch"
    """A segmentation with one slice less than the image."""
    SHIFTED_AFFINE = "shifted_affine"
    """A segmentation that lies 10 mm beside the image."""


_OF_THE_SEGMENTATION = frozenset(
    {Damage.WRONG_LABELS, Damage.FRACTIONAL_LABELS, Damage.SHAPE_MISMATCH, Damage.SHIFTED_AFFINE}
)


def damage(root: Path, case: str, kind: Damage) -> Path:
    """Break a file of `case` in the dataset folder `root`; returns the file.

    A `SHA256SUMS` is updated too: the content is wrong, not the transfer.
    """
    path = root / case / (SEGMENTATION_NAME if kind in _OF_THE_SEGMENTATION else IMAGE_NAME)
    if kind in _PACKED:
        path.write_bytes(_PACKED[kind](path.read_bytes()))
    elif kind in _UNPACKED:
        path.write_bytes(gzip.compress(_UNPACKED[kind](bytearray(gzip.decompress(path.read_bytes()))), 1, mtime=0))
    else:
        _revalue(path, _VALUES[kind])
    if (root / SUMS_NAME).is_file():
        write_sums(root, [folder.name for folder in root.glob("case_*")])
    return path


def _flip(packed: bytes) -> bytes:
    wrong = bytearray(packed)
    wrong[len(wrong) // 2] ^= 0x10
    return bytes(wrong)


def _set(field: str, index: int, value: float) -> Callable[[Block], Block]:
    def change(block: Block) -> Block:
        header = nib.Nifti1Header(bytes(block[:348]), check=False)
        header[field][index] = value
        block[:348] = header.binaryblock
        return block

    return change


def _four_d(block: Block) -> Block:
    header = nib.Nifti1Header(bytes(block[:348]), check=False)
    header["dim"][0], header["dim"][4] = 4, 2
    block[:348] = header.binaryblock
    return block + block[_HEADER_BYTES:]


def _metres(block: Block) -> Block:
    header = nib.Nifti1Header(bytes(block[:348]), check=False)
    header["xyzt_units"] = 1
    block[:348] = header.binaryblock
    return block


_PACKED: dict[Damage, Callable[[bytes], bytes]] = {
    Damage.TRAILING_GARBAGE: lambda packed: packed + b"garbage after the end",
    Damage.BIT_FLIP: _flip,
    Damage.TRUNCATED: lambda packed: packed[: len(packed) // 2],
    Damage.ZERO_BYTES: lambda _packed: b"",
    Damage.WEB_PAGE: lambda _packed: b"<!doctype html><title>Please log in</title>",
}
_UNPACKED: dict[Damage, Callable[[Block], Block]] = {
    Damage.SHORT_DATA: lambda block: block[: _HEADER_BYTES + (len(block) - _HEADER_BYTES) // 2],
    Damage.BOMB: lambda block: block + bytes(_BOMB_BYTES),
    Damage.NAN_AFFINE: _set("srow_x", 0, np.nan),
    Damage.INF_AFFINE: _set("srow_y", 3, np.inf),
    Damage.FOUR_D: _four_d,
    Damage.METRES: _metres,
}


def _one_voxel(value: float) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    def change(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        values[tuple(size // 2 for size in values.shape)] = value
        return values

    return change


_VALUES: dict[Damage, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    Damage.NAN_VOXELS: _one_voxel(np.nan),
    Damage.NOT_HU: lambda values: (values - values.min()) / np.ptp(values),
    Damage.OFFSET_HU: lambda values: values + 1024,
    Damage.WRONG_LABELS: _one_voxel(7),
    Damage.FRACTIONAL_LABELS: _one_voxel(1.5),
    Damage.SHAPE_MISMATCH: lambda values: values[:-1],
    Damage.SHIFTED_AFFINE: lambda values: values,
}


def _revalue(path: Path, change: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]) -> None:
    image = nib.load(path)
    affine = image.affine.copy()
    if change is _VALUES[Damage.SHIFTED_AFFINE]:
        affine[0, 3] += 10
    values = change(np.asarray(image.dataobj, dtype=np.float64))
    whole = np.isfinite(values).all() and (values == np.rint(values)).all()
    made = nib.Nifti1Image(values.astype(np.int16 if whole else np.float32), affine)
    made.header.set_xyzt_units("mm")
    made.to_filename(path)
