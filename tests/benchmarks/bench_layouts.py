"""Time and peak memory of bringing in one case, 100×512×512 with its mask, from each layout, against the official one.

From the folder to converted, checked files in the home's form: found, read, hashed, converted. Without Prefect and the
catalog, which take the same for all. Each in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from common import ROUNDS, show, write_labels, write_scan
from numpy.typing import NDArray
from pydicom import dcmread
from rtstruct_writer import rtstruct
from skimage.measure import find_contours

from kits_core.geometry import Volume
from kits_core.scan.dicom_seg import write_dicom_seg
from kits_core.scan.find import Scan, find_scans
from kits_core.scan.read import read_scan

_MEASURE = """
import sys, tempfile, time
from pathlib import Path
start = time.perf_counter()
from kits_core.scan.itk import is_itk, itk_to_nifti
from kits_core.source.convert import convert_image, convert_segmentation
from kits_core.source.local_dicom import fetch_dicom
from kits_core.source.opening import open_source
from kits_core.source.transfer import Transfer
imported = time.perf_counter()
source = open_source(sys.argv[1])
(case,) = source.cases()
found = source.locate(case)
with tempfile.TemporaryDirectory() as name, Transfer() as transfer:
    here = Path(name)
    for kind, location in (("imaging", found.image), ("segmentation", found.segmentation)):
        archive = here / f"{kind}.nii.gz"
        if location.dicom is not None:
            fetch_dicom(location.dicom, archive, case=case)
        else:
            transfer.fetch(location, archive)
        if is_itk(archive):
            archive = itk_to_nifti(archive, here / f"read-{kind}.nii", case=case)
        if kind == "imaging":
            convert_image(archive, here / "imaging.nii", case=case)
        else:
            convert_segmentation(archive, here / "segmentation.nii", case=case, values=source.values)
seconds = time.perf_counter() - imported
peak = next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(seconds, peak)
"""


def _official(root: Path, shape: tuple[int, int, int]) -> Path:
    write_scan(root / "case_00000" / "imaging.nii.gz", shape, 0)
    write_labels(root / "case_00000" / "segmentation.nii.gz", shape)
    return root


def _nnunet(root: Path, official: Path) -> Path:
    for folder, name, file in (("imagesTr", "a_0000", "imaging"), ("labelsTr", "a", "segmentation")):
        (root / folder).mkdir(parents=True)
        (root / folder / f"{name}.nii.gz").symlink_to(official / "case_00000" / f"{file}.nii.gz")
    labels = {"background": 0, "kidney": 1, "tumor": 2}
    (root / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": labels}))
    return root


def _msd(root: Path, official: Path) -> Path:
    for folder, file in (("imagesTr", "imaging"), ("labelsTr", "segmentation")):
        (root / folder).mkdir(parents=True)
        (root / folder / "a.nii.gz").symlink_to(official / "case_00000" / f"{file}.nii.gz")
    facts = {
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "kidney", "2": "tumor"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    }
    (root / "dataset.json").write_text(json.dumps(facts))
    return root


def _nrrd(root: Path, official: Path) -> Path:
    for folder, file in (("images", "imaging"), ("masks", "segmentation")):
        (root / folder).mkdir(parents=True)
        image = sitk.ReadImage(official / "case_00000" / f"{file}.nii.gz")
        sitk.WriteImage(image, root / folder / "a.nrrd", useCompression=True)
    return root


def _series(root: Path, official: Path) -> Path:
    folder = root / "ct"
    folder.mkdir(parents=True)
    image = sitk.ReadImage(official / "case_00000" / "imaging.nii.gz")
    direction, writer = image.GetDirection(), sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number in range(image.GetDepth()):
        piece = image[:, :, number]
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0008|0018": f"1.2.3.4.{number + 1}", "0008|0060": "CT",
            "0020|000d": "1.2.3.1", "0020|000e": "1.2.3.2", "0020|0052": "1.2.3.3", "0020|0013": str(number + 1),
            "0020|0032": "\\".join(map(str, image.TransformIndexToPhysicalPoint((0, 0, number)))),
            "0020|0037": "\\".join(str(direction[at]) for at in (0, 3, 6, 1, 4, 7)),
            "0028|1052": "0", "0028|1053": "1", "0010|0010": "Test", "0010|0020": "1",
            "0008|0020": "20260101", "0008|0030": "120000",
        }  # fmt: skip
        for tag, value in tags.items():
            piece.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{number:04d}.dcm"))
        writer.Execute(piece)
    return folder


def _labels(folder: Path, official: Path) -> tuple[Scan, Volume, NDArray[np.uint8]]:
    """A series as a scan, its volume, and the mask on its grid."""
    (scan,) = find_scans([folder]).scans
    volume, mask = read_scan(scan).volume, nib.load(official / "case_00000" / "segmentation.nii.gz")
    turn = nib.orientations.ornt_transform(nib.io_orientation(mask.affine), nib.io_orientation(volume.affine))
    return scan, volume, np.asarray(mask.as_reoriented(turn).dataobj, np.uint8)


def _seg(root: Path, official: Path) -> Path:
    scan, volume, labels = _labels(_series(root, official), official)
    write_dicom_seg(root / "seg.dcm", labels, volume.affine, scan, algorithm="hand", version="1")
    drawn = dcmread(root / "seg.dcm")
    drawn.Manufacturer = "by hand"  # what kits wrote is a prediction, and no reference
    drawn.save_as(root / "seg.dcm")
    return root


def _rtstruct(root: Path, official: Path) -> Path:
    scan, volume, labels = _labels(_series(root, official), official)
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine

    def place(points: NDArray[np.float64], k: int) -> NDArray[np.float64]:
        voxels = np.column_stack([points, np.full(len(points), k)])
        return voxels @ to_lps[:3, :3].T + to_lps[:3, 3]

    def contours(value: int) -> list[tuple[str, NDArray[np.float64]]]:
        return [
            ("CLOSED_PLANAR", place(points[:-1] - 1, k))
            for k in range(labels.shape[2])
            for points in find_contours(np.pad(labels[:, :, k] == value, 1).astype(float), 0.5)
        ]

    first = dcmread(scan.files[0], stop_before_pixels=True)
    drawn = rtstruct(first, {"Kidney": contours(1), "Tumour": contours(2)})
    drawn.save_as(root / "drawn.dcm", enforce_file_format=True)
    return root


def main() -> None:
    """Print a row a layout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of a small scan")
    quick = parser.parse_args().quick
    shape, rounds = ((12, 64, 64), 1) if quick else ((100, 512, 512), ROUNDS)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        official = _official(root / "kits", shape)
        folders = {
            "kits (.nii.gz)": official,
            "nnunet (.nii.gz)": _nnunet(root / "nnunet", official),
            "msd (.nii.gz)": _msd(root / "msd", official),
            "pairs (.nrrd)": _nrrd(root / "pairs", official),
            "dicom, SEG": _seg(root / "seg", official),
            "dicom, RTSTRUCT": _rtstruct(root / "rtstruct", official),
        }
        found: dict[str, list[tuple[float, float]]] = {layout: [] for layout in folders}
        for _ in range(rounds):
            for layout, folder in folders.items():
                code = [sys.executable, "-c", _MEASURE, str(folder)]
                words = subprocess.run(code, capture_output=True, text=True, check=True).stdout.split()
                found[layout].append((float(words[0]), float(words[1])))
    rows: list[dict[str, object]] = []
    base = float(np.median([seconds for seconds, _ in found["kits (.nii.gz)"]]))
    for layout, values in found.items():
        seconds, peak = (float(np.median(column)) for column in zip(*values, strict=True))
        rows.append({"layout": layout, "seconds": seconds, "times": seconds / base, "peak MiB": peak})
    show(f"{'×'.join(map(str, shape))}, medians of {rounds}", rows)


if __name__ == "__main__":
    main()
