"""A NRRD, with the segments that 3D Slicer names in it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK

from kits_core.errors import CaseError
from kits_core.geometry.volume import Volume

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Segment:
    """A segment: the voxels of a layer that have a value."""

    name: str
    layer: int
    value: int


def read_nrrd(path: Path, case: str) -> tuple[list[Volume], list[Segment]]:
    """The layers of a NRRD, one unless segments overlap, and its segments, none where it names none.

    Raises `CaseError` naming `case` for a file that cannot be read, other than 3 axes, and a layer that is not there.
    """
    try:
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO("NrrdImageIO")
        reader.SetFileName(str(path))
        image = reader.Execute()
        segments = list(_segments({key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}))
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split()).rpartition("rror: ")[2]
        raise _error(case, f"a NRRD that can be read in {path}", reason[:300]) from error
    if image.GetDimension() != 3:
        raise _error(case, f"3 axes in {path.name}", f"{image.GetDimension()}")
    array = SimpleITK.GetArrayFromImage(image)
    array = array.reshape(*array.shape[:3], -1)
    count = array.shape[-1]
    if wrong := [segment.name for segment in segments if not 0 <= segment.layer < count]:
        raise _error(case, f"segments in one of {count} layers in {path.name}", f"{wrong[0]!r} in another")
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return [Volume(array[..., n].transpose(2, 1, 0), _LPS_TO_RAS @ affine) for n in range(count)], segments


def _segments(header: dict[str, str]) -> list[Segment]:
    found: list[Segment] = []
    while (name := header.get(f"Segment{len(found)}_Name")) is not None:
        start = f"Segment{len(found)}"
        found.append(Segment(name, int(header.get(f"{start}_Layer", 0)), int(header[f"{start}_LabelValue"])))
    return found


def _error(case: str, expected: str, got: str) -> CaseError:
    return CaseError(case, expected=expected, got=got, next_step="export the segmentation again")
