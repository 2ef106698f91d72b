"""Damaged NIfTI files through reading, converting, scoring and planning: only the project's own errors may come out.

`python tests/fuzz/nifti.py --count 10000` damages small scans and segmentations in a way that a seed decides: values of
header fields, bytes of the header, bytes of the file, in `.nii`, `.nii.gz` and NIfTI-2. Each is worked on in a process
of its own with 2 GB. What is accepted must have the affine and the values that nibabel or ITK give. Prints one line for
each damage that was not survived, and ends with 1 if there was any.
"""

import argparse
import gzip
import os
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import SimpleITK

from kits_core.errors import KitsError
from kits_core.geometry import Volume
from kits_core.geometry.grid import apart_mm
from kits_core.labels import Label
from kits_core.metrics.folders import Pair, score_pair
from kits_core.plan.plan import make_plan
from kits_core.scan.find import Scan
from kits_core.scan.read import read_scan
from kits_core.source.convert import convert_image, convert_segmentation
from kits_core.source.probe import probe_file
from kits_core.source.verify import check_hounsfield, check_shape

SHAPE = (24, 20, 16)
AFFINE = np.array([[-3.0, 0, 0, 36], [0, -3.0, 0, 30], [0, 0, 5, -40], [0, 0, 0, 1]])
MEMORY_BYTES, SECONDS = 2 << 30, 5.0
_ODD = (0, 1, -1, 2, 3, 7, 127, -128, 255, 256, 32767, -32768, 1e-38, 1e-6, 0.5, -0.5, 1e6, 1e30, 3.4e38,
        np.nan, np.inf, -np.inf)  # fmt: skip
_KINDS = (nib.Nifti1Image, nib.Nifti2Image)


def base(kind: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """A small scan in HU or, as `labels`, its segmentation: a body with two kidneys, a tumour and a cyst."""
    i, j, k = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    labels = np.zeros(SHAPE, np.uint8)
    for side in (-0.5, 0.5):
        labels[((i - side) / 0.25) ** 2 + (j / 0.35) ** 2 + (k / 0.6) ** 2 < 1] = Label.KIDNEY
    labels[((i - 0.6) / 0.2) ** 2 + ((j - 0.3) / 0.2) ** 2 + (k / 0.3) ** 2 < 1] = Label.TUMOR
    labels[((i + 0.6) / 0.1) ** 2 + ((j - 0.3) / 0.15) ** 2 + (k / 0.2) ** 2 < 1] = Label.CYST
    body = i**2 + j**2 < 0.9
    noise = np.random.default_rng(0).normal(0, 10, SHAPE)
    hu = np.where(body, 40 + 100 * (labels > 0) + noise, -1000).astype(np.int16)
    return (hu if kind == "image" else labels), labels


def mutant(kind: str, rng: np.random.Generator, folder: Path) -> tuple[Path, str]:
    """A damaged file of a kind (`image` or `labels`), and in words what is wrong with it."""
    data, _ = base(kind)
    form = _KINDS[int(rng.integers(2))](data, AFFINE, dtype=data.dtype)
    form.set_qform(AFFINE, 1)
    form.header.set_xyzt_units("mm")
    block = bytearray(form.to_bytes())
    size = int(form.header["sizeof_hdr"])
    damages = int(rng.integers(1, 4))
    said = [type(form).__name__, *(_damage_header(block, size, type(form.header), rng) for _ in range(damages))]
    packed = bool(rng.integers(2))
    content = bytearray(gzip.compress(bytes(block), 1, mtime=0)) if packed else block
    if rng.random() < 0.2:
        said.append(_damage_bytes(content, rng))
    path = folder / f"{kind}{'.nii.gz' if packed else '.nii'}"
    path.write_bytes(content)
    return path, "; ".join([*said, path.name])


def _damage_header(block: bytearray, size: int, kind: Any, rng: np.random.Generator) -> str:
    if rng.random() < 0.25:
        place, byte = int(rng.integers(size)), int(rng.integers(256))
        block[place] = byte
        return f"byte {place} is {byte}"
    header = kind(bytes(block[:size]), check=False)
    name = str(rng.choice(header.keys()))
    field = header[name]
    index = int(rng.integers(field.size)) if field.ndim else ()
    odd = _ODD[int(rng.integers(len(_ODD)))]
    near = float(np.float64(field[index])) * float(rng.choice([-1, 0.5, 0.996, 2, 1000])) if field.dtype.kind in "if" \
        else 0.0  # fmt: skip
    value = odd if rng.random() < 0.6 else near
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            changed = field.copy()
            changed[index] = value if field.dtype.kind in "if" else bytes(rng.bytes(int(field.dtype.itemsize)))
            header[name] = changed
    except (ValueError, OverflowError, TypeError):
        return f"{name} stays"
    block[:size] = header.binaryblock
    return f"{name}{list(np.atleast_1d(index)) if field.ndim else ''} is {changed[index]}"


def _damage_bytes(content: bytearray, rng: np.random.Generator) -> str:
    how = int(rng.integers(3))
    if how == 0:
        del content[int(rng.integers(len(content))) :]
        return f"cut to {len(content)} bytes"
    if how == 1:
        content += bytes(rng.bytes(int(rng.integers(1, 200))))
        return "bytes after the end"
    place = int(rng.integers(len(content)))
    content[place] ^= 1 << int(rng.integers(8))
    return f"a bit of byte {place} of the file"


def work(kind: str, path: Path, folder: Path) -> str:
    """Do all that the product does with a file. `refused`, or `accepted`; raises for whatever should not be."""
    probe_file(path, None)
    return _image(path, folder) if kind == "image" else _labels(path, folder)


def _image(path: Path, folder: Path) -> str:
    try:
        converted = convert_image(path, folder / "converted.nii", case="mutant")
        check_shape("mutant", converted.facts.shape)
        check_hounsfield("mutant", converted.hu_min, converted.hu_percentiles)
    except KitsError:
        _check_also_refused(path)
        return "refused"
    _check_same(path, folder / "converted.nii", converted.facts.affine)
    volume = read_scan(Scan("mutant", path, "nifti", (path,))).volume
    if not np.array_equal(volume.data, _data(folder / "converted.nii")):
        raise AssertionError("read_scan has other values than the conversion")
    if volume.shape == SHAPE:
        make_plan("mutant", Volume(base("labels")[1], volume.affine), volume)
    return "accepted"


def _check_also_refused(path: Path) -> None:
    try:
        read_scan(Scan("mutant", path, "nifti", (path,)))
    except KitsError:
        return
    raise AssertionError("read_scan takes what the ingestion refuses")


def _labels(path: Path, folder: Path) -> str:
    try:
        converted = convert_segmentation(path, folder / "converted.nii", case="mutant")
    except KitsError:
        converted = None
    reference = folder / "reference.nii"
    image = nib.Nifti1Image(base("labels")[1], AFFINE)
    image.to_filename(reference)
    scored = score_pair(Pair("mutant", path, reference))
    if converted is None:
        if scored.problem is None:
            raise AssertionError("kits score takes what the ingestion refuses")
        return "refused"
    _check_same(path, folder / "converted.nii", converted.facts.affine, rounded=bool(converted.notes))
    return "accepted"


def _check_same(path: Path, converted: Path, affine: Any, *, rounded: bool = False) -> None:
    """Raise unless nibabel or ITK has the affine, and one of them the values; both must read what was written."""
    ours, written = np.array(affine), nib.load(converted)
    values = _data(converted)
    for name, theirs in (
        ("nibabel", written.affine),
        ("ITK", _by_itk(converted)[0] if _itk_knows(converted) else None),
    ):
        if theirs is not None and apart_mm(values.shape, ours, theirs) > 1e-2:
            raise AssertionError(f"{name} reads another affine from the converted file")
    readings = list(_readings(path))
    if not any(apart_mm(values.shape, ours, theirs) <= 1e-2 for theirs, _ in readings):
        raise AssertionError(f"affine {ours.tolist()}, others have {[found.tolist() for found, _ in readings]}")
    tolerance = 0.011 if rounded else 1e-3
    for _, theirs in readings:
        if theirs.shape == values.shape and np.allclose(values, theirs, rtol=1e-5, atol=tolerance, equal_nan=True):
            return
    raise AssertionError(f"values {values.min()} to {values.max()}, others have "
                         f"{[(float(v.min()), float(v.max())) for _, v in readings]}")  # fmt: skip


def _readings(path: Path) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    try:
        image = nib.load(path)
        values = np.asarray(image.dataobj, dtype=np.float64)
        yield image.affine, values.reshape(values.shape[:3])
    except Exception:  # noqa: BLE001 - what nibabel cannot read is no reading
        pass
    try:
        if _itk_knows(path):
            affine, values = _by_itk(path)
            yield affine, values.reshape(values.shape[:3])
    except Exception:  # noqa: BLE001 - nor what ITK cannot
        pass


def _itk_knows(path: Path) -> bool:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return int.from_bytes(file.read(4), "little") == 348


def _by_itk(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = (np.array(image.GetDirection()).reshape(image.GetDimension(), -1)[:3, :3]
                      * image.GetSpacing()[:3])  # fmt: skip
    affine[:3, 3] = image.GetOrigin()[:3]
    return np.diag([-1.0, -1, 1, 1]) @ affine, SimpleITK.GetArrayFromImage(image).T.astype(np.float64)


def _data(path: Path) -> npt.NDArray[Any]:
    return np.asarray(nib.load(path).dataobj)


def run_one(seed: int, number: int) -> str:
    """One damage, in a process of its own: `accepted`, `refused`, or what went wrong, with the damage in words."""
    kind = ("image", "labels")[number % 2]
    with tempfile.TemporaryDirectory() as folder:
        path, damage = mutant(kind, np.random.default_rng((seed, number)), Path(folder))
        found, seconds = _in_child(lambda: work(kind, path, Path(folder)))
    if found in {"accepted", "refused"} and seconds <= SECONDS:
        return found
    return f"{number}: {damage}: {found if seconds <= SECONDS else f'took {seconds:.1f} s of CPU'}"


def _in_child(function: Any) -> tuple[str, float]:
    """What `function` returned or raised in a child of its own, and the CPU seconds that it took there."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        signal.alarm(12 * int(SECONDS))  # whatever else the machine does
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        with _silence():
            try:
                found = function()
            except BaseException:  # noqa: BLE001 - that is what is looked for
                found = traceback.format_exc(limit=-3)
        os.write(write, found.encode()[-4000:])
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        found = pipe.read()
    _, status, used = os.wait4(child, 0)
    return found or f"ended by signal {os.waitstatus_to_exitcode(status)}", used.ru_utime + used.ru_stime


@contextmanager
def _silence() -> Iterator[None]:
    """ITK writes its warnings to the terminal, nibabel logs what it finds odd."""
    with Path(os.devnull).open("w") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(nowhere.fileno(), 2)
        yield


def main() -> None:
    """Run the damages of a seed, and say what was not survived."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, default=None, help="the number of one damage")
    asked = parser.parse_args()
    found: Counter[str] = Counter()
    for number in [asked.only] if asked.only is not None else range(asked.count):
        outcome = run_one(asked.seed, number)
        found[outcome if outcome in {"accepted", "refused"} else "not survived"] += 1
        if outcome not in {"accepted", "refused"}:
            print(outcome, flush=True)
    print(dict(found))
    sys.exit(bool(found["not survived"]))


if __name__ == "__main__":
    main()
