"""Any mask that people have of a scan, as labels on the scan's grid: NIfTI, NRRD, DICOM SEG, RTSTRUCT."""

from pathlib import Path

import numpy as np

from kits_core.errors import CaseError
from kits_core.geometry.boxes import bounding_box
from kits_core.geometry.volume import Volume
from kits_core.label_map import ALL_OTHERS, HOW_TO_MAP, LabelMap, relabel
from kits_core.labels import Label
from kits_core.scan.find import Scan
from kits_core.scan.header import looks_like_dicom
from kits_core.source.convert import load_image, load_labels
from kits_core.structures.labels import labels_of
from kits_core.structures.nrrd import read_nrrd
from kits_core.structures.placed import on_grid_of
from kits_core.structures.read import THRESHOLD, Labelled, read_labels
from kits_core.structures.structure import Gathered, Named, Reference, Structures

_NIFTI, _NRRD = (".nii", ".nii.gz"), (".nrrd", ".nhdr")
_HOW_TO_MAP_VALUES = HOW_TO_MAP.replace("NAME", "VALUE")


def read_mask(
    path: Path,
    scan: Scan,
    image: Volume,
    names: LabelMap,
    *,
    threshold: float = THRESHOLD,
    other_series: bool = False,
) -> Labelled:
    """The labels of a mask on the grid of `image`, which is what `read_scan` gives of `scan`.

    Values of a NIfTI, and of a NRRD that names no segments, are KiTS's unless `names` has the value as a name
    (`4=tumor`). Segments of a NRRD are mapped by their names. Of `threshold` and `other_series`, see `read_labels`.

    Raises `CaseError` naming the scan for a file of another kind or that cannot be read, voxels that do not lie on the
    scan's, values and names without a meaning, and where no kidney, tumour or cyst lies in the scan.
    """
    name = path.name.lower()
    if name.endswith(_NIFTI):
        found = _nifti(path, scan.name, image, names)
    elif name.endswith(_NRRD):
        found = _nrrd(path, scan.name, image, names)
    elif path.is_file() and looks_like_dicom(path):
        return read_labels(path, scan, names, threshold=threshold, other_series=other_series)
    else:
        got = "a folder" if path.is_dir() else "a file of another kind" if path.exists() else "nothing at this path"
        raise CaseError(
            scan.name,
            expected=f"a NIfTI, NRRD, DICOM SEG or RTSTRUCT file as {path}",
            got=got,
            next_step="name the file that holds the segmentation",
        )
    if not found.volume.data.any():
        raise CaseError(
            scan.name,
            expected=f"a kidney, tumour or cyst of {path.name} in the scan",
            got="none",
            next_step="give the scan that it was drawn on",
        )
    return found


def _nifti(path: Path, case: str, image: Volume, names: LabelMap) -> Labelled:
    try:
        if not names.entries:
            plain = load_labels(path, case=case, next_step=_HOW_TO_MAP_VALUES)
            values, facts, notes = plain.labels, plain.facts, plain.notes
        else:
            loaded = load_image(path, case=case, next_step="export the segmentation again")
            values, facts, notes = loaded.hu, loaded.facts, loaded.facts.notes
    except OSError as error:
        raise CaseError(
            case, expected=f"to read {path}", got=error.strerror or str(error), next_step="make it readable"
        ) from error
    placed, beyond = on_grid_of(image, Volume(values, np.array(facts.affine)), path, case)
    return _by_value(path, case, placed, names, (*notes, *beyond))


def _nrrd(path: Path, case: str, image: Volume, names: LabelMap) -> Labelled:
    layers, segments = read_nrrd(path, case)
    both = [on_grid_of(image, layer, path, case) for layer in layers]
    placed, beyond = [volume for volume, _ in both], dict.fromkeys(note for _, notes in both for note in notes)
    if not segments:
        return _by_value(path, case, placed[0], names, tuple(beyond))
    gathered = Gathered()
    for number, segment in enumerate(segments):
        mask = placed[segment.layer].data == segment.value
        if (box := bounding_box(mask)) is not None:
            i, j, k = (side.start for side in box)
            gathered.add(number, (i, j, k), mask[box])
    found = [gathered.structure(Named(number, one.name, ())) for number, one in enumerate(segments)]
    kept = tuple(one for one in found if one.voxels)
    empty = tuple(one.name for one in found if not one.voxels)
    notes = (*beyond, *([f"nothing of {', '.join(map(repr, empty))} lies in the scan"] if empty else []))
    structures = Structures("nrrd", image.shape, Reference("", (), ()), kept, empty, notes)
    meanings = names.labels_of(case, (one.name for one in kept))
    return Labelled(Volume(labels_of(case, structures, names), image.affine), meanings, notes)


def _by_value(path: Path, case: str, placed: Volume, names: LabelMap, notes: tuple[str, ...]) -> Labelled:
    present = np.unique(placed.data[placed.data != 0]).tolist()
    kits, given = {label.value: label for label in Label}, dict(names.entries)
    found = {value: given.get(f"{value:g}", kits.get(value, given.get(ALL_OTHERS))) for value in present}
    lookup = {value: label for value, label in found.items() if label is not None}
    if unknown := [f"{value:g}" for value in present if value not in lookup]:
        raise CaseError(
            case,
            expected=f"values in {path.name} that are labels, 0 to 3",
            got=f"also {', '.join(unknown)}",
            next_step=_HOW_TO_MAP_VALUES,
        )
    meanings = {f"{value:g}": lookup[value] for value in present}
    return Labelled(Volume(relabel(case, placed.data, lookup), placed.affine), meanings, notes)
