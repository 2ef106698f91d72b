"""Phantom patients on disk, in the official `dataset/` layout. Each is made only once."""

import hashlib
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from kits_core.errors import KitsError, check_case_name
from kits_core.files import sha256_of, write_text_atomically
from kits_core.phantom.anatomy import make_labels
from kits_core.phantom.fields import LabelArray
from kits_core.phantom.nifti_writer import read_description, write_nifti_gz
from kits_core.phantom.paint import paint
from kits_core.phantom.records import Record, invent_record

IMAGE_NAME, SEGMENTATION_NAME = "imaging.nii.gz", "segmentation.nii.gz"
RECORDS_NAME, SUMS_NAME = "kits23.json", "SHA256SUMS"

_VERSION = 2
"""Part of every phantom's mark: raise it when the same seed gives another patient, so that old files are made again."""

_SLICES = (40, 64)
_IN_PLANE = 128
_IN_PLANE_MM = (2.3, 2.8)
_HEIGHT_MM = (185.0, 235.0)

Shape = tuple[int, int, int]


def kits_affine(spacing_mm: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Voxel to RAS mm as in the official files: axes to inferior, posterior, left; origin 0. Float64 4x4."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = (-s for s in spacing_mm)
    affine[3, 3] = 1.0
    return affine


def write_case(
    folder: Path,
    name: str,
    labels: LabelArray,
    affine: npt.NDArray[np.float64],
    rng: np.random.Generator,
    *,
    image_dtype: npt.DTypeLike = np.int16,
    description: str = "",
) -> Path:
    """Paint `labels` and write `folder/name/{segmentation,imaging}.nii.gz`; returns the case's folder.

    `labels`: uint8 in KiTS order (axes inferior, posterior, left), any real or phantom map; spacing is read from
    `affine`. Each file is written atomically, the image last. Same arguments and generator state, same bytes.
    `image_dtype`: how HU are stored; the official images may be float64. Raises `CaseError` for a wrong `name`.
    """
    case = folder / check_case_name(name)
    write_nifti_gz(case / SEGMENTATION_NAME, labels, affine, dtype=np.uint8, description=description)
    image = paint(labels, _spacing_mm(affine), rng)
    write_nifti_gz(case / IMAGE_NAME, image, affine, dtype=image_dtype, description=description)
    return case


def write_phantoms(
    root: Path,
    count: int,
    seed: int,
    *,
    shape: Shape | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    workers: int = 2,
    on_case: Callable[[str], None] | None = None,
) -> list[str]:
    """Write `count` phantom patients, `kits23.json` and `SHA256SUMS` under `root`; returns the cases' names.

    By default each case has 40 to 64 slices of 128x128, 3 to 5 mm apart and 2.3 to 2.8 mm in plane; `shape` and
    `spacing_mm` fix them for all. A case that is whole and was made by the same call is kept, so that a killed run goes
    on where it was. Every case has a generator of its own: neither `count` nor `workers` changes a patient.
    `on_case` is called with each name as it is done, from worker threads. Raises `KitsError` for count < 1 or > 489.
    """
    if not 1 <= count <= 489:
        raise KitsError(f"the number of phantoms must be from 1 to 489; got {count}")
    make = partial(_make_phantom, root=root, seed=seed, shape=shape, spacing_mm=spacing_mm, on_case=on_case)
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        records = list(pool.map(make, range(count)))
    write_records(root, records)
    names = [str(record["case_id"]) for record in records]
    write_sums(root, names)
    return names


def paint_masks(masks: Path, root: Path, cases: Iterable[str], seed: int) -> list[str]:
    """A folder in the official layout under `root` from the real `masks/case_x/segmentation.nii.gz` of `cases`.

    Images are painted at full resolution; clinical records are taken over where `masks` has them. Cases that are whole
    are kept. Returns the cases' names. Raises `KitsError` where a mask is missing.
    """
    names = [check_case_name(name) for name in cases]
    for name in names:
        mark = f"painted v{_VERSION} seed {seed}"
        source = masks / name / SEGMENTATION_NAME
        if not source.is_file():
            raise KitsError(f"{name}: expected a mask at {source}; name cases that the folder has")
        if not _is_whole(root / name, mark):
            mask = nib.load(source)
            labels = np.asarray(mask.dataobj, dtype=np.uint8)
            rng = np.random.default_rng((seed, int(name.removeprefix("case_"))))
            write_case(root, name, labels, mask.affine, rng, description=mark)
    if (masks / RECORDS_NAME).is_file():
        known = json.loads((masks / RECORDS_NAME).read_text(encoding="utf-8"))
        write_records(root, [record for record in known if record["case_id"] in set(names)])
    write_sums(root, names)
    return names


def write_records(root: Path, records: list[Record]) -> None:
    """Write clinical records as `kits23.json`, atomically."""
    write_text_atomically(root / RECORDS_NAME, json.dumps(records, indent=2) + "\n")


def write_sums(root: Path, names: Iterable[str]) -> None:
    """Write `SHA256SUMS` over the cases' files and the records, in the format of `sha256sum`, atomically."""
    files = [f"{name}/{file}" for name in sorted(names) for file in (IMAGE_NAME, SEGMENTATION_NAME)]
    files = [file for file in [*files, RECORDS_NAME] if (root / file).is_file()]
    write_text_atomically(root / SUMS_NAME, "".join(f"{sha256_of(root / file)}  {file}\n" for file in files))


def _make_phantom(
    index: int,
    *,
    root: Path,
    seed: int,
    shape: Shape | None,
    spacing_mm: tuple[float, float, float] | None,
    on_case: Callable[[str], None] | None,
) -> Record:
    name = f"case_{index:05d}" if index < 300 else f"case_{index + 100:05d}"
    rng = np.random.default_rng((seed, index))
    drawn_shape, drawn_spacing = _draw_grid(rng)
    shape, spacing_mm = shape or drawn_shape, spacing_mm or drawn_spacing
    mark = _mark(seed, index, shape, spacing_mm)
    labels_rng, paint_rng, record_rng = rng.spawn(3)
    labels = make_labels(shape, spacing_mm, labels_rng)
    if not _is_whole(root / name, mark):
        write_case(root, name, labels, kits_affine(spacing_mm), paint_rng, description=mark)
    if on_case is not None:
        on_case(name)
    return invent_record(name, labels, spacing_mm, record_rng)


def _draw_grid(rng: np.random.Generator) -> tuple[Shape, tuple[float, float, float]]:
    slices = int(rng.integers(_SLICES[0], _SLICES[1] + 1))
    between = float(np.clip(rng.uniform(*_HEIGHT_MM) / slices, 3.0, 5.0))
    in_plane = round(float(rng.uniform(*_IN_PLANE_MM)), 2)
    return (slices, _IN_PLANE, _IN_PLANE), (round(between, 1), in_plane, in_plane)


def _mark(seed: int, index: int, shape: Shape, spacing_mm: tuple[float, float, float]) -> str:
    """The mark in the files' headers that says how they were made; a whole file with this mark is not made again."""
    settings = hashlib.sha256(repr((shape, spacing_mm)).encode()).hexdigest()[:8]
    return f"phantom v{_VERSION} seed {seed} case {index} grid {settings}"


def _is_whole(case: Path, mark: str) -> bool:
    """Files are renamed into place when complete, so the mark in the header is proof of all that follows it."""
    return all(read_description(case / file) == mark for file in (IMAGE_NAME, SEGMENTATION_NAME))


def _spacing_mm(affine: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    z, y, x = (float(s) for s in np.sqrt(np.sum(affine[:3, :3] ** 2, axis=0)))
    return z, y, x
