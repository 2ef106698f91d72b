"""RTSTRUCTs that rt-utils has written of real masks, as kits reads them: Dice against the masks.

    python tests/benchmarks/bench_rt_utils.py --others PYTHON [--cases 8]

PYTHON: an interpreter with rt-utils, which is not among the packages of this project. Every fifth of the real masks,
from the smallest file on, is the labels of a CT series at full resolution. In every second one slices lead to the feet.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from common import show
from masks import MASKS
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from kits_core.label_map import LabelMap
from kits_core.labels import Label
from kits_core.metrics.overlap import dice
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan
from kits_core.structures import read_labels

_BODY_HU, _AIR_HU = 100, -900
_WRITE = """
import sys
import numpy as np
from rt_utils import RTStructBuilder
folder = sys.argv[1]
struct = RTStructBuilder.create_new(dicom_series_path=f"{folder}/ct")
labels = np.load(f"{folder}/labels.npy").transpose(1, 0, 2)
labels = labels[:, :, [int(one.InstanceNumber) - 1 for one in struct.series_data]]
for name, value in (("Kidney", 1), ("Tumour", 2), ("Cyst", 3)):
    if (labels == value).any():
        struct.add_roi(mask=labels == value, name=name)
struct.save(f"{folder}/drawn.dcm")
"""


def write_series(folder: Path, mask: Path, *, head_first: bool) -> NDArray[np.uint8]:
    """A CT series, bright where the mask has labels; the labels `(column, row, slice)` in the order of its slices."""
    image = nib.load(mask)
    axes = nib.orientations.axcodes2ornt("LPI" if head_first else "LPS")
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), axes))
    labels, affine = np.asarray(turned.dataobj).astype(np.uint8), np.diag([-1, -1, 1, 1]) @ turned.affine
    there = np.nonzero(labels.any((0, 1)))[0]
    first = max(0, int(there[0]) - 2)
    labels = labels[:, :, first : int(there[-1]) + 3]
    folder.mkdir(parents=True)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    study, series, frame = (generate_uid() for _ in range(3))
    for k in range(labels.shape[2]):
        one = Dataset()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = CTImageStorage
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        one.Modality, one.PatientID, one.PatientName = "CT", mask.parent.name, "Test"
        one.PatientBirthDate = one.AccessionNumber = one.ReferringPhysicianName = ""
        one.PatientSex, one.StudyDate, one.StudyTime, one.StudyID = "O", "20260101", "120000", "1"
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.SeriesNumber, one.InstanceNumber = 1, k + 1
        one.ImagePositionPatient = [f"{mm:.6g}" for mm in affine[:3, 3] + affine[:3, 2] * (first + k)]
        one.ImageOrientationPatient = [f"{part:.6g}" for part in (affine[:3, :2] / spacing[:2]).T.ravel()]
        one.PixelSpacing, one.SliceThickness = [f"{mm:.6g}" for mm in spacing[1::-1]], f"{spacing[2]:.6g}"
        one.Columns, one.Rows, one.SamplesPerPixel = *labels.shape[:2], 1
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation, one.PhotometricInterpretation = 15, 1, "MONOCHROME2"
        one.RescaleSlope, one.RescaleIntercept = "1", "0"
        one.PixelData = np.where(labels[:, :, k].T > 0, _BODY_HU, _AIR_HU).astype(np.int16).tobytes()
        one.save_as(folder / f"{k:04d}.dcm", enforce_file_format=True)
    return labels


def scores(folder: Path, labels: NDArray[np.uint8]) -> Iterator[tuple[str, float]]:
    """Dice of each structure that the mask has."""
    (scan,) = find_scans([folder / "ct"]).scans
    bright = read_scan(scan).volume.data > 0
    reference = labels if np.array_equal(bright, labels > 0) else labels[:, :, ::-1]
    found = read_labels(folder / "drawn.dcm", scan, LabelMap()).volume.data
    for label in (Label.KIDNEY, Label.TUMOR, Label.CYST):
        if (reference == label).any():
            yield label.name.lower(), dice(found == label, reference == label)


def main() -> None:
    """Print the least and the mean Dice of each structure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", required=True, help="an interpreter with rt-utils")
    parser.add_argument("--cases", type=int, default=8)
    given = parser.parse_args()
    if not MASKS.is_dir():
        print(f"not run: no real masks at {MASKS}")
        return
    masks = sorted(MASKS.glob("case_*/segmentation.nii.gz"), key=lambda path: path.stat().st_size)[::5][: given.cases]
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for number, mask in enumerate(masks):
            folder = Path(name) / mask.parent.name
            labels = write_series(folder / "ct", mask, head_first=bool(number % 2))
            np.save(folder / "labels.npy", labels)
            subprocess.run([given.others, "-c", _WRITE, str(folder)], check=True, stdout=subprocess.DEVNULL)
            for structure, value in scores(folder, labels):
                found.setdefault(structure, []).append(value)
    rows = [
        {"structure": structure, "cases": len(values), "least Dice": min(values), "mean Dice": float(np.mean(values))}
        for structure, values in found.items()
    ]
    show(f"RTSTRUCT by rt-utils of {len(masks)} real masks", rows)


if __name__ == "__main__":
    main()
