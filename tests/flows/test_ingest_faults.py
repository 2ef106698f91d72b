"""A hostile host and a damaged source, one fault a case: every good case comes in verified, every bad one is named."""

import shutil

import pytest

from db.settings import Settings
from flows.ingest import ingest
from flows.parameters import IngestParameters
from kits_core.files import sha256_of
from kits_core.phantom.broken import Damage, damage
from kits_core.phantom.faults import Fault, FaultKind
from kits_core.phantom.server import DatasetServer, Hashes

pytestmark = pytest.mark.usefixtures("prefect_api", "home", "hasty")

FOR_EVER = 1000

MENDED: dict[str, list[tuple[FaultKind, int]]] = {
    "a burst of 500": [(FaultKind.STATUS_500, 3)],
    "a burst of 503": [(FaultKind.STATUS_503, 3)],
    "429 with Retry-After": [(FaultKind.TOO_MANY_REQUESTS, 1)],
    "a reset in the body": [(FaultKind.RESET, 2)],
    "a stall": [(FaultKind.STALL, 1)],
    "a drip": [(FaultKind.DRIP, 1)],
    "a body cut short": [(FaultKind.TRUNCATE, 2)],
    "no ranges after a cut": [(FaultKind.TRUNCATE, 1), (FaultKind.NO_RANGES, 1)],
    "another ETag after a cut": [(FaultKind.TRUNCATE, 1), (FaultKind.CHANGED_ETAG, 1)],
    "the rest of another version after a cut": [(FaultKind.TRUNCATE, 1), (FaultKind.SPLICE, 1)],
    "an error page with status 200": [(FaultKind.HTML, 1)],
    "a length of a terabyte": [(FaultKind.TERABYTE, 1)],
}
"""What any host can do, and retries mend within one run."""

SILENT: dict[str, list[tuple[FaultKind, int]]] = {
    "a flipped bit": [(FaultKind.BIT_FLIP, 1)],
    "half a body without a length": [(FaultKind.NO_LENGTH, 1)],
    "half a body with that length": [(FaultKind.WRONG_LENGTH, 1)],
}
"""What only a hash shows during the transfer; without one the file is refused when it is read."""

UNSEEN: dict[str, list[tuple[FaultKind, int]]] = {
    "an error page that says it is a file": [(FaultKind.PAGE_AS_FILE, 1)],
}
"""What comes with a length and no hash of its own: the file is refused when it is read, and the next run mends it."""

LASTING: dict[str, tuple[FaultKind, str]] = {
    "a redirect loop": (FaultKind.REDIRECT_LOOP, "more than 10 redirects"),
    "a redirect to a file of this machine": (FaultKind.REDIRECT_TO_A_FILE, "a redirect from http to file is refused"),
    "no file": (FaultKind.STATUS_404, "HTTP status 404"),
    "503 for ever": (FaultKind.STATUS_503, "HTTP status 503"),
    "a page for ever": (FaultKind.HTML, "a web page came instead of the file"),
}
"""What no retry mends, and the reason that is given."""

DAMAGED = {
    Damage.TRAILING_GARBAGE: "whole gzip archive",
    Damage.BIT_FLIP: "whole gzip archive",
    Damage.TRUNCATED: "whole gzip archive",
    Damage.ZERO_BYTES: "an empty file",
    Damage.WEB_PAGE: "a web page",
    Damage.SHORT_DATA: "the data are cut off",
    Damage.BOMB: "bytes after the last voxel",
    Damage.NAN_AFFINE: "a finite affine",
    Damage.INF_AFFINE: "a finite affine",
    Damage.FOUR_D: "3 axes",
    Damage.METRES: "millimetres in imaging.nii.gz, got spacing in metres",
    Damage.NAN_VOXELS: "NaN or infinity",
    Damage.NOT_HU: "a CT in HU",
    Damage.OFFSET_HU: "a CT in HU",
    Damage.WRONG_LABELS: "got also [7]",
    Damage.FRACTIONAL_LABELS: "got also [1.5]",
    Damage.SHAPE_MISMATCH: "of one shape",
    Damage.SHIFTED_AFFINE: "in one place, got corners 10.00 mm apart",
}


def _copies(phantoms, root, count):
    """As many cases as a test needs, all with the files of one phantom."""
    for number in range(count):
        shutil.copytree(phantoms / "case_00000", root / f"case_{number:05d}")
    names = ", ".join(f'{{"case_id": "case_{number:05d}"}}' for number in range(count))
    (root / "kits23.json").write_text(f"[{names}]")
    return root


def _ingest(source):
    return ingest(IngestParameters(source=str(source), dataset="hostile", allowed_failures=1.0))


def _state(rows, source):
    """Names of the cases that are in, after a look that they are whole; reasons of the others by name."""
    settings = Settings()
    stored = rows(
        'SELECT c.name, f.kind, f.path, f.sha256, f.archive_sha256 FROM case_file f JOIN "case" c ON c.id = f.case_id'
    )
    for name, kind, path, sha256, archive_sha256 in stored:
        archive = "imaging.nii.gz" if kind == "image" else "segmentation.nii.gz"
        assert sha256_of(settings.absolute(path)) == sha256, name
        assert sha256_of(source / name / archive) == archive_sha256, name
    on_disk = {path.relative_to(settings.home).as_posix() for path in settings.raw.rglob("*") if path.is_file()}
    assert on_disk == {path for _, _, path, *_ in stored}
    ingested = {name for (name,) in rows("SELECT case_name FROM case_overview WHERE status = 'ingested'")}
    assert ingested == {name for name, *_ in stored}
    problems = dict(rows("SELECT case_name, error FROM open_problem"))
    assert not ingested & problems.keys()
    return ingested, problems


@pytest.mark.parametrize("hashes", [Hashes.LINKED, Hashes.ETAG, Hashes.OTHER, Hashes.NONE])
def test_a_hostile_host(phantoms, tmp_path, rows, hashes):
    every = {**MENDED, **SILENT, **UNSEEN, **{name: [(kind, FOR_EVER)] for name, (kind, _) in LASTING.items()}}
    root = _copies(phantoms, tmp_path / "source", len(every) + 1)
    case_of = {fault: f"case_{number:05d}" for number, fault in enumerate(every)}
    faults = [
        Fault(f"{case_of[name]}/imaging.nii.gz", kind, times, stall_s=20, probes=times == FOR_EVER)
        for name, steps in every.items()
        for kind, times in steps
    ]
    good = {f"case_{len(every):05d}"} | {case_of[name] for name in MENDED}
    silent = {case_of[name] for name in SILENT}
    with DatasetServer(root, faults, hashes=hashes) as server:
        done = _ingest(server.address)
        ingested, problems = _state(rows, root)
        # A plain ETag of 64 digits is a claim: only a second download shows that it is none.
        told = hashes in (Hashes.LINKED, Hashes.ETAG, Hashes.OTHER)
        assert ingested == (good | silent if told else good)
        assert done.refused == len(problems) == len(every) + 1 - len(ingested)
        for name, (_, reason) in LASTING.items():
            assert reason in problems[case_of[name]], name
        _ingest(server.address)
        ingested, problems = _state(rows, root)
    assert ingested == good | silent | {case_of[name] for name in UNSEEN}
    assert problems.keys() == {case_of[name] for name in LASTING}


def test_a_damaged_source(phantoms, tmp_path, rows):
    root = _copies(phantoms, tmp_path / "source", len(DAMAGED) + 2)
    case_of = {kind: f"case_{number:05d}" for number, kind in enumerate(DAMAGED)}
    for kind, case in case_of.items():
        damage(root, case, kind)
    done = _ingest(root)
    ingested, problems = _state(rows, root)
    assert ingested == {f"case_{number:05d}" for number in (len(DAMAGED), len(DAMAGED) + 1)}
    assert done.refused == len(DAMAGED)
    for kind, reason in DAMAGED.items():
        assert problems[case_of[kind]].startswith(f"{case_of[kind]}: expected "), kind
        assert reason in problems[case_of[kind]], kind
        assert list((Settings().quarantine / "hostile" / case_of[kind]).iterdir()), kind
