"""Single tags of a small series changed at random: only the project's own errors, and nothing accepted that is wrong.

What an accepted series must be is worked out here from the bytes that were written, by DICOM's rules alone.
"""

import contextlib
import math
import random
import struct

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.tag import Tag

from kits_core.errors import CaseError, KitsError
from kits_core.scan.dicom_seg import write_dicom_seg
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan

_AFFINE = np.array([[-0.8, 0, 0, 90], [0, -0.7, 0, 60], [0, 0, 3.0, -500], [0, 0, 0, 1.0]])
_SHAPE = (12, 10, 8)
_MUTANTS, _SEED = 160, 20
_LONG = {"OB", "OW", "OD", "OF", "SQ", "UN", "UT", "UC", "UR"}
_TAGS = (
    *("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns", "RescaleSlope"),
    *("RescaleIntercept", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("PhotometricInterpretation", "NumberOfFrames", "InstanceNumber", "Modality", "ImageType", "SOPClassUID"),
    *("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SliceThickness"),
    *("SpecificCharacterSet", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate"),
    *("StudyTime", "AccessionNumber", "StudyID", "SeriesDescription", "SeriesNumber", "LossyImageCompression"),
    *("LossyImageCompressionRatio", "PixelPaddingValue", "PlanarConfiguration", "SpacingBetweenSlices", "RescaleType"),
    *("GantryDetectorTilt", "PixelAspectRatio", "SmallestImagePixelValue", "ReferencedStudySequence"),
    *("Manufacturer", "PositionReferenceIndicator", "PixelData"),
)
_VALUES = (
    *(b"", b" ", b"0", b"-1", b"1", b"2", b"nan ", b"inf ", b"-inf", b"1e308 ", b"-1e308", b"1e-308", b"1e999 "),
    *(b"9" * 40, b"1" * 5000, b"0.5 ", b"1,5 ", b"\\\\", b"1\\2", b"1\\0\\0\\0\\1\\0", b"0\\0\\0 ", b"nan\\nan\\nan "),
    *(b"0.8\\0.7 ", b"-0.8\\-0.7", b"0\\0\\0\\0\\0\\0 ", b"1\\2\\3\\4\\5\\6\\7 ", b"1e5\\1e5 ", b"abc ", b"\xff\xfe"),
    *(b"\0\0", b"\0" * 8, b"\xff\xff\xff\xff", b"\x1b$B;3", b"M\xfcller", "山田".encode(), b"CT", b"MR", b"1.2.3.4 "),
    *(b"19501399", b"20200101", b"999999.9", b"MONOCHROME1 ", b"ORIGINAL\\PRIMARY\\LOCALIZER ", b"A" * 70000),
    *(struct.pack("<H", n) for n in (0, 1, 7, 8, 9, 11, 12, 13, 15, 16, 32, 64, 32767, 65535)),
    *(struct.pack("<d", n) for n in (math.nan, math.inf, 0.0, 1.5)),
)
_SERIES, _PIXELS = int(Tag("SeriesInstanceUID")), int(Tag("PixelData"))
_VRS = ("DS", "IS", "US", "SS", "UL", "FL", "FD", "CS", "LO", "PN", "UI", "SQ", "OB", "UN", "AT", "DA", "??", "ZZ")


@pytest.fixture(scope="module")
def stored(dicom):
    return dicom.body(_SHAPE)


@pytest.fixture(scope="module")
def elements(tmp_path_factory, dicom, stored):
    """Of each slice, the value of each element and its VR, as in the file; group 2 apart."""
    files = dicom.series(tmp_path_factory.mktemp("base"), stored, _AFFINE)
    slices = []
    for path in files:
        data = dcmread(path)
        raw = [data.get_item(tag) for tag in list(data.keys())]
        slices.append(({element.tag: (element.VR, element.value) for element in raw}, path.read_bytes()))
    return slices


def _encoded(head, body):
    out = [head]
    for tag in sorted(body):
        vr, value = body[tag]
        value += b"\0" if len(value) % 2 else b""
        start = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
        length = struct.pack("<HI", 0, len(value)) if vr in _LONG else struct.pack("<H", len(value) & 0xFFFF)
        out += [start, length, value]
    return b"".join(out)


def _mutate(chance, body, at):
    """One element with another value, another VR or both, or without it."""
    body = dict(body)
    keyword = chance.choice(_TAGS)
    tag = int(Tag(keyword))
    vr, value = body.get(tag, (chance.choice(_VRS), b""))
    kind = chance.choice(("value", "value", "value", "VR", "both", "gone"))
    if kind == "gone":
        body.pop(tag, None)
        return body, keyword, "gone"
    if kind in ("value", "both"):
        value = at
    if kind in ("VR", "both"):
        vr = chance.choice(_VRS)
    body[tag] = (vr, value)
    return body, keyword, f"{vr} {value[:40]!r}"


def _floats(body, keyword):
    """The numbers of a decimal string as DICOM writes them; None where it is none."""
    vr, value = body.get(int(Tag(keyword)), ("DS", b""))
    if not value.strip(b" \0"):
        return None
    try:
        if vr in ("FD", "FL"):
            return np.frombuffer(value, "<f8" if vr == "FD" else "<f4").tolist()
        if vr in ("US", "SS"):
            return np.frombuffer(value, "<u2" if vr == "US" else "<i2").tolist()
        return [float(part) for part in value.strip(b" \0").split(b"\\")]
    except ValueError:
        return None


def _whole(body, keyword, default):
    return int.from_bytes(body.get(int(Tag(keyword)), ("US", default.to_bytes(2, "little")))[1][:2], "little")


def _hu(body):
    slope, intercept = (_floats(body, keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
    bits = _whole(body, "BitsStored", 16)
    assert _whole(body, "HighBit", bits - 1) == bits - 1
    values = np.frombuffer(body[int(Tag("PixelData"))][1], "<u2").astype(np.int64) & ((1 << bits) - 1)
    if _whole(body, "PixelRepresentation", 2):
        values = np.where(values >> (bits - 1), values - (1 << bits), values)
    values = values.reshape(_whole(body, "Rows", 0), _whole(body, "Columns", 0))
    return values * (1.0 if slope is None else slope[0]) + (0.0 if intercept is None else intercept[0])


def _check_accepted(volume, bodies):
    bodies = sorted(bodies, key=lambda body: _floats(body, "ImagePositionPatient")[2])
    first, last = (np.array(_floats(bodies[k], "ImagePositionPatient")) for k in (0, -1))
    row, column = np.array(_floats(bodies[0], "ImageOrientationPatient")).reshape(2, 3)
    rows_mm, columns_mm = _floats(bodies[0], "PixelSpacing")
    lps = np.eye(4)
    lps[:3] = np.column_stack([row * columns_mm, column * rows_mm, (last - first) / (len(bodies) - 1), first])
    np.testing.assert_allclose(volume.affine, np.diag([-1, -1, 1, 1]) @ lps, atol=0.01)
    np.testing.assert_allclose(volume.data, np.stack([_hu(body).T for body in bodies], axis=-1), atol=1e-3)


def _write_mutant(folder, chance, elements):
    """The series with one element changed in one slice or in all; what each file then says, and a word on it."""
    everywhere, value, state = chance.random() < 0.5, chance.choice(_VALUES), chance.getrandbits(32)
    mutated = range(len(elements)) if everywhere else [chance.randrange(len(elements))]
    bodies, told = {}, ""
    for k, (original, content) in enumerate(elements):
        body = original
        if k in mutated:
            body, keyword, what = _mutate(random.Random(state), original, value)
            told = f"{keyword} {what} in {'all slices' if everywhere else f'slice {k}'}"
        head = content[: 132 + 12 + struct.unpack("<I", content[140:144])[0]]
        (folder / f"{k}.dcm").write_bytes(_encoded(head, body))
        bodies[folder / f"{k}.dcm"] = body
    return bodies, told


def _look_at(folder, bodies, with_seg):
    """Whether a series is accepted, and then it must be right."""
    found = find_scans([folder])
    if not found.scans:
        assert found.refused
        return False
    try:
        volume = read_scan(found.scans[0]).volume
    except KitsError as error:
        assert str(error).isprintable()
        return False
    if len(found.scans[0].files) < len(bodies):  # a slice that names another series is a localizer, and left out
        (other,) = bodies.keys() - set(found.scans[0].files)
        assert bodies[other].get(_SERIES) != bodies[found.scans[0].files[0]].get(_SERIES)
    _check_accepted(volume, [bodies[path] for path in found.scans[0].files])
    if with_seg:
        labels = np.zeros(volume.shape, np.uint8)
        labels[2:5, 2:5, 2:5] = 1
        with contextlib.suppress(KitsError):
            write_dicom_seg(folder / "seg.dcm", labels, volume.affine, found.scans[0], algorithm="a", version="1")
    return True


def test_a_mutant_is_refused_by_our_own_errors_or_read_as_its_bytes_say(tmp_path, elements):
    chance = random.Random(_SEED)
    accepted, wrong = 0, []
    for number in range(_MUTANTS):
        folder = tmp_path / f"m{number}"
        folder.mkdir()
        bodies, told = _write_mutant(folder, chance, elements)
        try:
            accepted += _look_at(folder, bodies, with_seg=number % 8 == 0)
        except Exception as error:  # noqa: BLE001 - all of them are wanted at once
            wrong.append(f"{number}: {told}: {type(error).__name__} {' '.join(str(error).split())[:200]}")
    assert not wrong, "\n".join(wrong)
    assert _MUTANTS // 5 < accepted < _MUTANTS


@pytest.mark.parametrize(
    "syntax",
    [
        b"1.2.840.10008.1.2.1\0",
        b"1.2.840.10008.1.2\0",
        b"1.2.840.10008.1.2.2\0",
        b"1.2.840.10008.1.2.1.99",
        b"1.2.840.10008.1.2.4.50",
        b"1.2.840.10008.1.2.5\0",
        b"1.2.3.4\0",
        b"",
        b"\xff\xff",
        None,
    ],
)
def test_a_wrong_transfer_syntax_is_refused_or_does_no_harm(tmp_path, elements, syntax):
    bodies = {}
    for k, (body, _) in enumerate(elements):
        meta = b"" if syntax is None else b"\x02\0\x10\0UI" + struct.pack("<H", len(syntax)) + syntax
        head = b"\0" * 128 + b"DICM\x02\0\0\0UL\x04\0" + struct.pack("<I", len(meta)) + meta
        path = tmp_path / f"{k}.dcm"
        path.write_bytes(_encoded(head, body))
        bodies[path] = body
    accepted = _look_at(tmp_path, bodies, with_seg=True)
    assert accepted or syntax != b"1.2.840.10008.1.2.1\0"


def _with(folder, elements, **changes):
    """The series with these values, as bytes, in every slice; None takes the element away."""
    for k, (original, content) in enumerate(elements):
        body = original | {int(Tag(name)): (original[int(Tag(name))][0], value) for name, value in changes.items()}
        body = {tag: (vr, value) for tag, (vr, value) in body.items() if value is not None}
        head = content[: 132 + 12 + struct.unpack("<I", content[140:144])[0]]
        (folder / f"{k}.dcm").write_bytes(_encoded(head, body))
    return find_scans([folder]).scans[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RescaleSlope": b"-inf"}, "numbers as RescaleSlope and RescaleIntercept"),
        ({"RescaleSlope": b"abc "}, "numbers as RescaleSlope and RescaleIntercept"),
        ({"RescaleSlope": b"1\\2 "}, "numbers as RescaleSlope and RescaleIntercept"),
        ({"RescaleSlope": b"0 "}, "the slope not 0"),
        ({"RescaleIntercept": b"1e999 "}, "numbers as RescaleSlope and RescaleIntercept"),
        ({"HighBit": b"\x0b\0"}, "HighBit as its last"),
        ({"BitsStored": b"\x11\0"}, "BitsStored within it"),
        ({"PixelRepresentation": None}, "and PixelRepresentation, got others in 0.dcm"),
        ({"Rows": b"\x09\0"}, "whole pixel data in 0.dcm, got 240 of 216 bytes"),
        ({"Columns": b"\x0b\0"}, "whole pixel data in 0.dcm, got 240 of 220 bytes"),
        ({"Rows": b"\xff\xff", "Columns": b"\xff\xff"}, "whole pixel data in 0.dcm, got 240 of 8589672450 bytes"),
    ],
)
def test_what_the_mutants_found_stays_refused(tmp_path, elements, changes, words):
    with pytest.raises(CaseError, match=words):
        read_scan(_with(tmp_path, elements, **changes))


@pytest.mark.parametrize(
    "changes",
    [{"Modality": b"CT\0\0"}, {"BitsStored": None, "HighBit": None}, {"RescaleSlope": None}, {"RescaleSlope": b""}],
)
def test_what_others_write_is_read(tmp_path, elements, stored, changes):
    assert np.array_equal(read_scan(_with(tmp_path, elements, **changes)).volume.data, stored - 1024)


def test_a_few_bytes_of_padding_are_no_fault(tmp_path, elements, stored):
    padded = [
        (body | {_PIXELS: (body[_PIXELS][0], body[_PIXELS][1] + bytes(2 * number))}, content)
        for number, (body, content) in enumerate(elements)
    ]
    assert np.array_equal(read_scan(_with(tmp_path, padded)).volume.data, stored - 1024)
