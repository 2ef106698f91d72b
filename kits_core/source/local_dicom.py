"""A CT series, or what was drawn on it, brought in as one NIfTI file."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np

from kits_core.files import sha256_of, written_aside
from kits_core.geometry.volume import Volume
from kits_core.label_map import LabelMap
from kits_core.scan.find import Scan
from kits_core.scan.itk import WHOLE_SCANS
from kits_core.scan.read import read_scan
from kits_core.source.location import DicomFiles
from kits_core.source.probe import Known, Probe, stamp
from kits_core.source.transfer import Fetched, TransferError, redacted
from kits_core.structures import describe, read_labels


def probe_dicom(wanted: DicomFiles, known: Known | None) -> Probe:
    """Whether the files are still the known ones, by their sizes and times. Raises `TransferError`, 404 for none."""
    try:
        etag, size = _stamp(wanted), sum(path.stat().st_size for path in _files(wanted))
    except FileNotFoundError as error:
        raise TransferError(str(error.filename), "no such file", retryable=False, status=404) from error
    except OSError as error:
        raise TransferError(str(error.filename), f"cannot be read: {error.strerror}", retryable=False) from error
    changed = known is None or known.etag != etag
    return Probe(changed=changed, bytes=size, etag=etag, last_modified=None, voxels=None)


def fetch_dicom(wanted: DicomFiles, target: Path, *, case: str) -> Fetched:
    """Write the series as HU, or the labels that were drawn on it, as uncompressed NIfTI to `target`.

    The facts are of the DICOM files: their bytes together, and a hash over the hashes of all. Raises `CaseError` naming
    `case` as `read_scan` and `read_labels` do, and `OSError`.
    """
    before, files = _stamp(wanted), _files(wanted)
    scan = Scan(case, Path(wanted.files[0]).parent, "dicom", tuple(map(Path, wanted.files)), wanted.series)
    target.parent.mkdir(parents=True, exist_ok=True)
    with WHOLE_SCANS:
        if wanted.drawn is None:
            read = read_scan(scan)
            volume, notes = read.volume, read.notes
        else:
            labels = read_labels(Path(wanted.drawn), scan, wanted.labels)
            volume, notes = labels.volume, labels.notes
        _write(volume, target)
        del volume
    address = wanted.drawn or str(scan.path)
    size = sum(path.stat().st_size for path in files)
    return Fetched(size, _sha256(files, _meaning(wanted)), before, None, redacted(address), notes)


def dicom_sha256(wanted: DicomFiles) -> str:
    """What `fetch_dicom` gives as the SHA-256 of files. Raises `OSError`."""
    return _sha256(_files(wanted), _meaning(wanted))


def _files(wanted: DicomFiles) -> list[Path]:
    """Labels change with the series, too: they lie on its grid."""
    return [Path(path) for path in (*wanted.files, *([wanted.drawn] if wanted.drawn else ()))]


def _stamp(wanted: DicomFiles) -> str:
    lines = [f"{path} {stamp(path)}" for path in sorted(_files(wanted))]
    return hashlib.sha256("\n".join([*lines, *_meaning(wanted)]).encode(errors="surrogateescape")).hexdigest()


def _meaning(wanted: DicomFiles) -> list[str]:
    """The given meanings of the file's structure names, where they differ from the usual ones."""
    if wanted.drawn is None or not wanted.labels.entries:
        return []
    usual, said = LabelMap(), wanted.labels
    names = [name for name in describe(Path(wanted.drawn)).names if said.knows(name)]
    other = [name for name in names if not usual.knows(name) or usual.label_of(name) != said.label_of(name)]
    return [f"{name}={said.label_of(name).name}" for name in sorted(other)]


def _sha256(files: Iterable[Path], meaning: Iterable[str]) -> str:
    """A hash of the contents and their meaning: names and order of files do not change it."""
    return hashlib.sha256("".join([*sorted(map(sha256_of, files)), *meaning]).encode()).hexdigest()


def _write(volume: Volume, target: Path) -> None:
    image = nib.Nifti1Image(volume.data, np.asarray(volume.affine), dtype=volume.data.dtype)
    image.header.set_xyzt_units("mm")
    with written_aside(target, suffix=".nii") as aside:
        nib.save(image, aside)
