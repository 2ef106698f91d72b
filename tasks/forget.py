"""Removing cases and predictions for good: files, rows, and everything that could identify the patient."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import catalog_session, empty_log, reading_session
from db.models import Case, Prediction
from db.queries import forget as queries
from db.queries import ingest as ingest_queries
from db.settings import Settings, current_settings
from kits_core.case_names import folder_name
from kits_core.corrections import Overlay
from kits_core.errors import KitsError
from kits_core.plan.files import PLAN, RESULTS
from kits_core.pseudonyms import is_pseudonym
from kits_core.results import others_in, remove_results
from kits_core.source.selection import choose
from tasks.evaluate import prediction_path
from tasks.forgotten import digest_of
from tasks.incoming import STAGING, is_held
from tasks.laid_masks import DONE, REFUSED
from tasks.report import report_path

T = TypeVar("T")


@dataclass(frozen=True)
class Forgettable:
    """All that the home has of cases, a patient or a scan. `cases`: ids; `names`: of cases and scans, for people.

    `files`: files and folders of the home to remove; `plans`: folders of plans of corrected masks; `reports`: reports
    of evaluations, which can be built again without the cases. `kept`: what stays although it may be of them, and why.
    """

    cases: tuple[int, ...]
    predictions: tuple[int, ...]
    names: tuple[str, ...]
    files: tuple[Path, ...]
    reports: tuple[Path, ...]
    kept: tuple[str, ...]
    plans: tuple[Path, ...] = ()


def find_forgettable(
    cases: str | None = None, *, dataset: str | None = None, patient: str | None = None, scan: str | None = None
) -> Forgettable:
    """All of cases (see `selection.choose`) of a dataset, of a patient in every dataset, or of a predicted scan.

    It includes what an earlier, killed call had begun to remove. Raises `KitsError` where there is nothing.
    """
    with reading_session(current_settings()) as session:
        chosen: list[Case] = []
        predicted: list[Prediction] = []
        if cases is not None:
            row = ingest_queries.find_dataset(session, dataset)
            known = {case.name: case for case in ingest_queries.cases_of(session, row.id)}
            chosen += [known[name] for name in choose(known, cases)]
        if patient is not None:
            chosen += queries.cases_of_patient(session, patient)
            predicted += [one for one in session.scalars(select(Prediction)) if _patient_of(one) == patient]
        if scan is not None:
            predicted += session.scalars(select(Prediction).where(Prediction.scan == scan))
        predicted += queries.predictions_of(session, chosen) + queries.marked_predictions(session)
        chosen, predicted = list(dict.fromkeys(chosen)), list(dict.fromkeys(predicted))
        if not (chosen or predicted):
            raise KitsError(
                f"{patient or scan}: expected cases or predictions of it in the catalog, got none; kits status and "
                "kits sql show what there is"
            )
        return _forgettable(session, chosen, predicted)


def forget(found: Forgettable) -> None:
    """Remove it. After a kill the same call goes on. The case's row goes last, so that no file is left without one.

    Raises `KitsError` while an ingestion works on one of the cases.
    """
    settings = current_settings()
    with catalog_session(settings) as session:
        for case in _rows(session, Case, found.cases):
            for staging in (settings.raw / case.dataset.name / folder_name(case.name)).glob(f"{STAGING}-*"):
                if is_held(staging):
                    raise KitsError(
                        f"{case.name}: expected no running work on it, got an ingestion; wait until it has ended"
                    )
            queries.note_forgotten(session, case.dataset, digest_of(settings, case.dataset_id, case.name))
        queries.mark_predictions(session, found.predictions)
    for plan in found.plans:  # before the notes that name them
        remove_results(plan, RESULTS, PLAN)
    for path in (*found.files, *found.reports):
        _remove(path)
    with catalog_session(settings) as session:
        queries.wipe_what_is_deleted(session)
        for prediction in _rows(session, Prediction, found.predictions):
            remove_results(Path(prediction.folder), RESULTS, PLAN)
            queries.delete_prediction(session, prediction)
        cases = _rows(session, Case, found.cases)
        for case in cases:
            queries.delete_case(session, case)
        for dataset_id in sorted({case.dataset_id for case in cases}):
            queries.forget_source(session, dataset_id)
    empty_log(settings)


def _rows(session: Session, table: type[T], ids: Sequence[int]) -> list[T]:
    return [session.get_one(table, number) for number in ids]


def _forgettable(session: Session, cases: list[Case], predictions: list[Prediction]) -> Forgettable:
    settings = current_settings()
    files = [path for case in cases for path in _files(settings, case)]
    evaluations = queries.evaluations_of(session, cases)
    for number in evaluations:
        files += [path for case in cases if (path := prediction_path(settings, number, case.name)).exists()]
    files += [path for one in predictions for path in _laid(settings, one.scan)]
    reports = [path for number in evaluations if (path := report_path(number)).is_file()]
    kept = [
        f"{path}: a report that was changed by hand"
        for report in reports
        for path in sorted(report.parent.glob(f"{report.stem}.kept-*{report.suffix}"))
    ]
    plans = [plan for case in cases for plan in _plans(settings, case)]
    for folder in (*(Path(one.folder) for one in predictions), *plans):
        kept += [f"{path}: not as kits wrote it" for path in others_in(folder, RESULTS, PLAN)]
    patients = {case.clinical.patient_id for case in cases if case.clinical and case.clinical.patient_id}
    names = {case.name for case in cases} | {one.scan for one in predictions}
    names |= {patient for patient in patients if len(queries.cases_of_patient(session, patient)) <= len(cases)}
    files += [path for name in sorted(names) if is_pseudonym(name) and (path := settings.pseudonyms / name).is_file()]
    return Forgettable(
        tuple(case.id for case in cases),
        tuple(one.id for one in predictions),
        (
            *(f"{case.dataset.name}: {case.name}" for case in cases),
            *(f"plan in {folder}" for folder in (*(one.folder for one in predictions), *plans)),
        ),
        tuple(files),
        tuple(reports),
        tuple(kept),
        tuple(plans),
    )


def _files(settings: Settings, case: Case) -> Iterator[Path]:
    """The folders of a case in the home, of every kind and recipe."""
    below = Path(case.dataset.name) / folder_name(case.name)
    roots = [settings.raw, settings.incoming, settings.quarantine]
    roots += sorted(settings.prepared.glob("*/")) if settings.prepared.is_dir() else []
    yield from (root / below for root in roots if (root / below).exists())
    yield from _overlay(settings, case).files()
    yield from _laid(settings, case.name)


def _laid(settings: Settings, name: str) -> Iterator[Path]:
    """Folders of masks that were laid into `corrections/` and called after a case or a scan."""
    places = (settings.corrections / where / folder_name(name) for where in (DONE, REFUSED))
    yield from (place for place in places if place.is_dir())


def _plans(settings: Settings, case: Case) -> list[Path]:
    """Folders of the plans that were made of a case's corrected masks."""
    folders = {note.plan for note in _overlay(settings, case).notes() if note.plan}
    return [folder for folder in map(Path, sorted(folders)) if folder.is_dir()]


def _overlay(settings: Settings, case: Case) -> Overlay:
    return Overlay(settings.corrections / case.dataset.name, case.name)


def _patient_of(prediction: Prediction) -> str | None:
    """Whose scan a plan says it is: the id, or its pseudonym."""
    try:
        identity = json.loads((Path(prediction.folder) / PLAN).read_text(encoding="utf-8"))["identity"]
        return str(identity["patient_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    with suppress(OSError):
        path.parent.rmdir()  # which an empty folder alone allows
