"""Names of patients in flow runs: replaced in the parameters, and scrubbed from all texts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from db.settings import current_settings
from kits_core.errors import KitsError, why
from kits_core.pseudonyms import Pseudonyms, is_pseudonym
from kits_core.scan.deidentify import Hidden, series_uid_of, telling_texts
from kits_core.scan.find import Scan, find_scans
from kits_core.scan.header import looks_like_dicom
from kits_core.scan.identity import Identity, identity_of
from tasks.log import scrub

_GIVEN = "path, address or choice"
_OUR_NAMES = frozenset({"imaging", "segmentation", "dataset", "data", "kits23"})
"""Names of files and folders in the official layout: they identify nobody, and occur in our own texts."""


def pseudonyms() -> Pseudonyms:
    """The pseudonyms of the home."""
    return _pseudonyms(current_settings().pseudonyms)


def hide(text: str) -> str:
    """The pseudonym of a path, an address or a choice that a user gives, for the parameters of a flow: see `reveal`.

    One of this home's pseudonyms stays as it is: a message may have named it.
    """
    if reveal(text) != text:
        return text
    pseudonym = pseudonyms().of(_GIVEN, text, text=text)
    scrub.add(text, pseudonym)
    return pseudonym


def hide_path(path: str | Path) -> str:
    """The pseudonym of an absolute path. The last part alone is hidden as well, because it may be a patient's name."""
    if reveal(str(path)) != str(path):
        return str(path)
    absolute = Path(path).expanduser().absolute()
    pseudonym = hide(str(absolute))
    scrub.add(str(absolute.resolve()), pseudonym)
    if absolute.name not in _OUR_NAMES:
        scrub.add(absolute.name, pseudonym)
    return pseudonym


def reveal(text: str) -> str:
    """The original of a pseudonym; `text` itself if it is no pseudonym of this home. Makes no key."""
    if not is_pseudonym(text) or not current_settings().pseudonyms.is_dir():
        return text
    found = pseudonyms().original(text)
    return found.facts["text"] if found is not None and found.kind == _GIVEN else text


def find_hidden_scans(paths: Sequence[Path], series: str | None) -> tuple[list[Scan], list[str]]:
    """The scans at `paths` under their pseudonyms, and the scrubbed reasons for other paths; see `find_scans`."""
    paths = [path.expanduser().absolute() for path in paths]
    with scrubbed_errors("scans"):
        for path in paths:
            hide_path(path)
        found = find_scans(paths, series=series)
        hidden = [_hide_scan(scan) for scan in found.scans]
        if found.refused:
            for path in {*paths} - {scan.path for scan in found.scans}:
                _hide_refused(path)
        return hidden, [scrub(str(error)) for error in found.refused]


def _hide_scan(scan: Scan) -> Scan:
    """The scan under its pseudonym, which stands for its path and series; names in it are scrubbed from now on."""
    place, stem = str(scan.path.absolute()), scan.path.name.partition(".")[0]
    identity = identity_of(scan)
    known = {"source": place, "series UID": scan.series_uid or ""}
    known |= {name: text for name, text in identity.facts.items() if text != "not stated"}
    name = pseudonyms().of("scan", place, scan.series_uid or "", **known)
    own = () if stem in _OUR_NAMES else (scan.path.name, stem)
    for text in (place, str(scan.path.resolve()), scan.name, *own):
        scrub.add(text, name)
    if scan.kind == "dicom":
        for number, file in enumerate(scan.files):
            scrub.add_file(file.name, f"{name} file {number}")
    patient = hidden_of(scan, identity).patient
    if scan.kind == "dicom":
        for text in telling_texts(scan.files[0]):
            scrub.add(text, patient)
    if scan.series_uid:
        hide(scan.series_uid)
    return replace(scan, name=name)


def _hide_refused(path: Path) -> None:
    """From now on scrub all that an error about `path` may reveal: file names, and values of the DICOM headers.

    A series is shown by a pseudonym of its UID, by which it can be chosen.
    """
    name = hide_path(path)
    files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
    for number, file in enumerate(files):
        if file.is_file() and looks_like_dicom(file):
            if uid := series_uid_of(file):
                hide(uid)
            for text in telling_texts(file):
                scrub.add(text, name)
        if file.name.partition(".")[0] not in _OUR_NAMES:
            scrub.add_file(file.name, f"{name} file {number}")


def hidden_of(scan: Scan, identity: Identity | None = None) -> Hidden:
    """The patient's pseudonym, the same for all scans with that patient id, and what gives other UIDs.

    A scan that names no patient stands for one of its own.
    """
    whose = identity or identity_of(scan)
    known_as = whose.patient_id or whose.patient
    known = {"patient": whose.patient, "patient ID": whose.patient_id}
    patient = pseudonyms().of("patient", known_as, **known) if known_as else scan.name
    return Hidden(patient, pseudonyms().uid)


def hidden_identity(scan: Scan) -> Identity:
    """The identity that a plan of a hidden scan states."""
    if scan.kind != "dicom":
        return Identity(file=scan.name)
    hidden = hidden_of(scan)
    uid = hidden.uid(scan.series_uid) if scan.series_uid else ""
    return Identity(patient=hidden.patient, patient_id=hidden.patient, series_uid=uid)


@contextmanager
def scrubbed_errors(case: str, *, when: bool = True) -> Iterator[None]:
    """If `when`, scrub names from errors raised in the block, and from their causes."""
    try:
        yield
    except KitsError as error:
        if not when:
            raise
        for name, value in vars(error).items():
            setattr(error, name, _scrubbed(value))
        error.args = tuple(map(_scrubbed, error.args))
        raise error from None
    except OSError as error:
        if not when:
            raise
        raise OSError(error.errno, scrub(error.strerror or str(error))) from None
    except Exception as error:
        if not when:
            raise
        raise RuntimeError(scrub(why(case, error))) from None


def _scrubbed(value: object) -> object:
    return scrub(value) if isinstance(value, str) else value


@lru_cache(maxsize=4)
def _pseudonyms(folder: Path) -> Pseudonyms:
    return Pseudonyms(folder)
