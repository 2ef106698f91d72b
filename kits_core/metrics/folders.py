"""Segmentations in files, scored against references in files. Needs no catalog and no network."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from kits_core.errors import CaseError, KitsError
from kits_core.geometry.grid import apart_mm, same_place
from kits_core.geometry.volume import Volume, along_axes_of
from kits_core.metrics.aggregate import diagonal_mm
from kits_core.metrics.case import missing_case, score_case
from kits_core.metrics.score import Score
from kits_core.source.convert import LoadedLabels, load_labels
from kits_core.source.text import decode

SEGMENTATION = "segmentation"
_NIFTI = re.compile(r"(?P<stem>[^.].*?)\.nii(?:\.gz)?")
_LAYOUTS = "case_00000.nii.gz or case_00000/segmentation.nii.gz"
_OUTSIDE = 255
PLACE = "{case}"


@dataclass(frozen=True)
class Pair:
    """A case's two files; `prediction` is None where there is none."""

    case: str
    prediction: Path | None
    reference: Path


@dataclass(frozen=True)
class ScoredPair:
    """The result for a pair. `problem` is None if all went well, else the reason why it counts as a missing case.

    `scores` is empty where the reference cannot be used. `diagonal_mm`: of the reference's image. `notes`: remarks
    about the two files, for people.
    """

    case: str
    scores: tuple[Score, ...]
    diagonal_mm: float
    problem: str | None
    notes: tuple[str, ...] = ()


def find_segmentations(folder: Path) -> dict[str, Path]:
    """The segmentations in a folder by case: `NAME.nii[.gz]` in it, or `NAME/segmentation.nii[.gz]`.

    Raises `KitsError` where there is no such folder or none in it, and where a case has two.
    """
    if not folder.is_dir():
        raise KitsError(
            f"{folder}: expected a folder of segmentations, got {'a file' if folder.exists() else 'nothing'}"
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        for name, file in _segmentations_at(path):
            if name in found:
                raise KitsError(
                    f"{folder}: expected one segmentation of {name}, got {found[name].name} and {file.name}"
                )
            found[name] = file
    if not found:
        raise KitsError(f"{folder}: expected segmentations named as {_LAYOUTS}, got none")
    return found


@dataclass(frozen=True)
class Naming:
    """How files are named where prediction and reference differ. `{case}` stands for the case, as in `{case}_pred`.

    `by_prediction`: the case for each prediction's name, from a table (`read_names`). Other names stay as they are.
    """

    predictions: str = PLACE
    references: str = PLACE
    by_prediction: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pattern in (self.predictions, self.references):
            if pattern.count(PLACE) != 1:
                raise KitsError(
                    f"{pattern!r}: expected a name with {PLACE} in it, as {PLACE}_pred; correct the pattern"
                )

    def cases(self, found: Mapping[str, Path], pattern: str) -> dict[str, Path]:
        """Files by case: those whose name fits the pattern."""
        before, _, after = pattern.partition(PLACE)
        shape = re.compile(f"{re.escape(before)}(.+){re.escape(after)}")
        return {match[1]: file for name, file in found.items() if (match := shape.fullmatch(name)) is not None}


def read_names(file: Path) -> dict[str, str]:
    """The reference's name by the prediction's, of a CSV with the columns prediction and reference.

    Raises `KitsError` for another file, and for a name that stands there twice.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(decode(file.read_bytes(), strict=True)), skipinitialspace=True))
    except (OSError, ValueError) as error:
        raise KitsError(f"{file}: expected a CSV with the columns prediction and reference, got {error}") from error
    names: dict[str, str] = {}
    for row in rows:
        prediction, reference = ((row.get(column) or "").strip() for column in ("prediction", "reference"))
        if not prediction or not reference:
            raise KitsError(f"{file}: expected the columns prediction and reference in each row, got {row}; correct it")
        if prediction in names or reference in names.values():
            raise KitsError(f"{file}: expected each name once, got {prediction} and {reference} again; correct it")
        names[prediction] = reference
    return names


def find_pairs(predictions: Path, references: Path, naming: Naming | None = None) -> tuple[list[Pair], list[str]]:
    """A pair for every reference, and the names of predictions that have none.

    Raises `KitsError` as `find_segmentations`, and where no name is in both folders.
    """
    naming = naming or Naming()
    ours = naming.cases(find_segmentations(predictions), naming.predictions)
    theirs = naming.cases(find_segmentations(references), naming.references)
    ours = {naming.by_prediction.get(name, name): file for name, file in ours.items()}
    for which, found in ((predictions, ours), (references, theirs)):
        if not found:
            raise KitsError(f"{which}: expected names that fit the pattern, got none; correct it")
    if not ours.keys() & theirs.keys():
        raise KitsError(
            f"expected names that {predictions} and {references} share, got {min(ours)} … and {min(theirs)} …; "
            f"name both as {_LAYOUTS}, or say how they are called (--predictions-as, --references-as, --names)"
        )
    pairs = [Pair(case, ours.get(case), path) for case, path in theirs.items()]
    return pairs, sorted(ours.keys() - theirs.keys())


def score_pair(pair: Pair, *, resample: bool = False) -> ScoredPair:
    """Score a pair of files. Problems with them are returned, not raised.

    A prediction that is missing or cannot be used counts as zero. `resample`: whether a prediction on another grid is
    resampled to the reference's by the nearest voxel.
    """
    notes: list[str] = []
    try:
        reference = _read(pair.case, "reference", pair.reference, notes)
    except CaseError as error:
        return ScoredPair(pair.case, (), 0.0, str(error))
    labels = np.asarray(reference.data)
    diagonal = diagonal_mm(reference.shape, reference.spacing_mm)
    try:
        if pair.prediction is None:
            raise CaseError(pair.case, expected="a prediction", got="none", next_step="it counts as zero")
        prediction = _read(pair.case, "prediction", pair.prediction, notes)
        turned = along_axes_of(prediction, reference.affine)
        difference = _difference(turned, reference) and _difference(prediction, reference)
        if difference is None:
            prediction = turned
        else:
            if not resample:
                raise CaseError(
                    pair.case,
                    expected="prediction and reference on one grid",
                    got=difference,
                    next_step="--resample puts the prediction on the reference's; it counts as zero",
                )
            prediction = _on_grid_of(pair.case, prediction, reference)
        scores = score_case(np.asarray(prediction.data), labels, reference.spacing_mm)
    except CaseError as error:
        missing = tuple(missing_case(labels, reference.spacing_mm))
        return ScoredPair(pair.case, missing, diagonal, str(error), tuple(notes))
    return ScoredPair(pair.case, tuple(scores), diagonal, None, tuple(notes))


def read_segmentation(case: str, what: str, path: Path) -> LoadedLabels:
    """A label map, checked by the rules of an ingestion. `what`: prediction or reference, for the error.

    Raises `CaseError` for a file that cannot be read, has no header that is read in one way, or holds other than labels
    0 to 3.
    """
    next_step = "it counts as zero" if what == "prediction" else "the case is left out"
    try:
        return load_labels(path, case=case, next_step=next_step)
    except CaseError as error:
        raise CaseError(case, expected=f"{error.expected}, the {what}", got=error.got, next_step=next_step) from error
    except OSError as error:
        got = error.strerror or str(error)
        raise CaseError(case, expected=f"a {what} in {path}", got=got, next_step=next_step) from error


def _read(case: str, what: str, path: Path, notes: list[str]) -> Volume:
    loaded = read_segmentation(case, what, path)
    notes += [f"{case}, the {what}: {note}" for note in loaded.notes]
    return Volume(loaded.labels, np.array(loaded.facts.affine))


def _segmentations_at(path: Path) -> list[tuple[str, Path]]:
    if path.is_dir():
        return [(path.name, file) for file in sorted(path.glob(f"{SEGMENTATION}.nii*")) if _NIFTI.fullmatch(file.name)]
    match = _NIFTI.fullmatch(path.name)
    return [(match["stem"], path)] if match else []


def _difference(one: Volume, other: Volume) -> str | None:
    """How the prediction's grid differs from the reference's, for people; None where it does not."""
    if one.shape != other.shape:
        return f"shapes {_times(one.shape)} and {_times(other.shape)}"
    if same_place(other.shape, one.affine, other.affine):
        return None
    offset_mm = apart_mm(other.shape, one.affine, other.affine)
    if not np.allclose(one.spacing_mm, other.spacing_mm, rtol=1e-3):
        return f"spacings {_times(one.spacing_mm)} and {_times(other.spacing_mm)} mm"
    if not np.allclose(one.affine[:3, :3], other.affine[:3, :3], atol=1e-2 * min(other.spacing_mm)):
        return f"directions {_directions(one)} and {_directions(other)}"
    if np.linalg.norm(one.affine[:3, 3] - other.affine[:3, 3]) > offset_mm / 2:
        return f"origins {_point(one.affine[:3, 3])} and {_point(other.affine[:3, 3])} mm"
    spacings = " and ".join("x".join(f"{mm:.7g}" for mm in volume.spacing_mm) for volume in (one, other))
    return f"spacings {spacings} mm, or directions, that differ by {offset_mm:.2f} mm at a corner"


def _on_grid_of(case: str, prediction: Volume, reference: Volume) -> Volume:
    image = nib.Nifti1Image(np.asarray(prediction.data), prediction.affine)
    moved: SpatialImage = resample_from_to(image, (reference.shape, reference.affine), order=0, cval=_OUTSIDE)
    labels = np.asarray(moved.dataobj).astype(np.uint8)
    outside = labels == _OUTSIDE
    if outside.all():
        raise CaseError(
            case,
            expected="a prediction that lies where the reference does",
            got="one that shares no voxel with it",
            next_step="check its affine; it counts as zero",
        )
    return Volume(np.where(outside, np.uint8(0), labels), reference.affine)


def _times(numbers: tuple[float, ...]) -> str:
    return "x".join(f"{number:.4g}" for number in numbers)


def _directions(volume: Volume) -> str:
    cosines = volume.affine[:3, :3] / volume.spacing_mm
    return f"{volume.orientation} " + "/".join(",".join(f"{value:.2f}" for value in axis) for axis in cosines.T)


def _point(numbers: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{number:.2f}" for number in numbers) + ")"
