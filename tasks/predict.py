"""Scans from outside the catalog: segmentation, comparison with the training cases, plan. Loads Keras when needed."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Dataset, Model, RunStatus
from db.models.base import now
from db.queries import prediction as queries
from db.queries.evaluation import validated_cleanup
from db.queries.training import find_model
from db.settings import Settings, current_settings
from kits_core.disk import check_room, naming_a_full_disk
from kits_core.errors import CaseError, KitsError, why
from kits_core.geometry import Volume, read_volume, write_volume
from kits_core.inference.cleanup import Choice, Rules, clean
from kits_core.inference.files import is_prediction, note_of
from kits_core.inference.predict import segment
from kits_core.plan.files import DICOM_SEG, PLAN, RESULTS, SEGMENTATION, PlannedScan, check_same_plan, plan_scan
from kits_core.plan.page import PageFacts
from kits_core.recipe.recipe import Recipe
from kits_core.results import check_replaceable, put_in_place, working_folder
from kits_core.scan.dicom_seg import write_dicom_seg
from kits_core.scan.features import describe
from kits_core.scan.find import Scan, find_scans
from kits_core.scan.identity import identity_of, scan_sha256
from kits_core.scan.range import Flag, Reference, flags
from kits_core.scan.read import read_scan
from kits_core.settled import settled
from tasks.catalog import catalog, flow_run_id, reading
from tasks.isolated import run_isolated
from tasks.log import scrub
from tasks.models import data_of, locator_of, mean_of, one_prediction, recipe_of, segmenter_of
from tasks.names import (
    find_hidden_scans,
    hidden_identity,
    hidden_of,
    pseudonyms,
    reveal,
    scrubbed_errors,
)
from tasks.policy import CATALOG, COMPUTE

_PLANS_AT_ONCE = 2
_VOXELS_A_BYTE, _PLAN_BYTES = 4, 20_000_000  # of segmentation, DICOM SEG, surfaces and pages together, at the most
_SCANS = "scans"


@dataclass(frozen=True)
class PredictionRequest:
    """What is to be predicted; see `PredictParameters`."""

    scans: tuple[Path, ...]
    out: Path | None
    model: str
    series: str | None
    flips: bool
    settle_seconds: int | None
    deidentify: bool = False

    @property
    def results(self) -> Path:
        """The folder for the results of all scans."""
        return self.out or current_settings().predictions / _SCANS

    @property
    def turn(self) -> str:
        """Name of the lock that runs hold while they write there: two would make a mixture of their results."""
        return f"results-{hashlib.sha256(str(self.results.resolve()).encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class ScanToPredict:
    """A scan that has no plan by these models in this folder yet."""

    prediction_id: int
    scan: Scan
    folder: Path
    deidentify: bool = False

    @property
    def source(self) -> str:
        """Where it comes from: its path, or its pseudonym."""
        return _source(self.scan, deidentify=self.deidentify)

    @property
    def work(self) -> Path:
        """Where its results are made, until all of them are whole."""
        return working_folder(self.folder)


@dataclass(frozen=True)
class Predictors:
    """Who predicts: models of one recipe whose mean counts, who finds the kidneys for them, and how it is cleaned."""

    model_ids: tuple[int, ...]
    locator_id: int | None
    flips: bool
    rules: Rules


@dataclass(frozen=True)
class PredictionPlan:
    """`done`: folders whose plan is there already. `refused`: a reason for each path that is no scan."""

    predictors: Predictors
    todo: list[ScanToPredict]
    done: list[Path]
    refused: list[str]


@dataclass(frozen=True)
class Segmented:
    """What is known of a scan once its segmentation lies in its folder.

    `notes`: what a user must know of how it was read, and of what was written or not.
    """

    sha256: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    notes: tuple[str, ...]
    flags: tuple[Flag, ...]
    seconds: dict[str, float]


@task(name="plan-predictions", **CATALOG)
def plan_predictions(asked: PredictionRequest) -> PredictionPlan:
    """Find the scans and the models, and note in the catalog what will be predicted."""
    out = asked.results
    inbox = asked.settle_seconds is not None
    scans, refused = _find(asked)
    todo, done = [], []
    with catalog() as session:
        models = [find_model(session, name) for name in asked.model.split(",")]
        _check_recipes(models)
        locator = locator_of(session, models[0], held_out=False)
        predictors = Predictors(
            tuple(model.id for model in models),
            locator.id if locator else None,
            asked.flips,
            _rules(session, models, flips=asked.flips),
        )
        for scan in scans:
            folder, key = out / scan.name, _key(scan, models, locator, out, asked)
            known = queries.find_prediction(session, key)
            if known and known.status is RunStatus.COMPLETED and (folder / PLAN).is_file():
                done.append(folder)
            elif known and known.status is RunStatus.FAILED and inbox:
                get_run_logger().info("%s: left, it was refused before: %s", scan.name, known.error)
            elif taken := _taken(session, folder, scan, asked):
                refused.append(taken)
            else:
                row = queries.start_prediction(
                    session, key, models=models, locator=locator, flow_run_id=flow_run_id(), scan=scan.name,
                    source=_source(scan, deidentify=asked.deidentify), kind=scan.kind,
                    series_uid=_series_uid(scan, deidentify=asked.deidentify), folder=str(folder),
                    flips=asked.flips,
                )  # fmt: skip
                todo.append(ScanToPredict(row.id, scan, folder, asked.deidentify))
    return PredictionPlan(predictors, todo, done, refused)


@task(name="segment-scan", task_run_name="{item.scan.name} · segment", **COMPUTE)
def segment_scan(item: ScanToPredict, predictors: Predictors, reference: Reference) -> Segmented:
    """Segment a scan on its own grid, and say in what it is unlike the training cases."""
    settings = current_settings()
    with _noting_failure(item):
        clock = time.perf_counter()
        read = read_scan(item.scan)
        sha256, volume = scan_sha256(item.scan), read.volume
        read_s, clock = time.perf_counter() - clock, time.perf_counter()
        path = item.work / SEGMENTATION
        with reading() as session:
            models = [session.get_one(Model, model_id) for model_id in _ids(predictors)]
        note = note_of(sha256, *(model.sha256 for model in models))
        made = next((place for place in (path, item.folder / SEGMENTATION) if is_prediction(place, note)), None)
        check_room(item.folder, volume.data.size // _VOXELS_A_BYTE + _PLAN_BYTES, f"the plan of {item.scan.name}")
        if made is not None:
            labels = read_volume(made).data
        else:
            labels = clean(_segment(settings, item.scan.name, volume, predictors), volume.spacing_mm, predictors.rules)
        segment_s, clock = time.perf_counter() - clock, time.perf_counter()
        write_volume(path, Volume(labels, volume.affine), note=note)
        notes = (*map(_scrubbed(item), read.notes), *_write_dicom_seg(item, labels, volume, predictors))
        raised = flags(describe(volume, labels), reference, volume, labels)
        seconds = {"read": read_s, "segment": segment_s, "write and compare": time.perf_counter() - clock}
    return Segmented(sha256, volume.shape, volume.spacing_mm, notes, raised, seconds)


@task(name="plan-scan", task_run_name="{item.scan.name} · plan", **COMPUTE)
def plan_segmented_scan(item: ScanToPredict, predictors: Predictors, segmented: Segmented) -> PlannedScan:
    """Measure a segmented scan, and write surfaces, page and `plan.json`, and every value into the catalog."""
    with _noting_failure(item):
        with reading() as session:
            lineage = _lineage(session, item, predictors, segmented)
            licence = _licence(session, predictors)
        facts = PageFacts(
            title=f"Surgical plan: {item.scan.name}",
            created=now().strftime("%Y-%m-%d %H:%M UTC"),
            flags=[flag.message for flag in segmented.flags],
            lineage=lineage,
            licence=licence,
            identity=hidden_identity(item.scan) if item.deidentify else identity_of(item.scan),
        )
        extra = {"prediction_id": item.prediction_id, "source": item.source}
        planned = run_isolated(_PLANS_AT_ONCE, plan_scan, item.scan, item.work, facts, extra).result
        put_in_place(item.scan.name, item.work, item.folder, PLAN)
        columns = {
            "sha256": segmented.sha256,
            "shape": list(segmented.shape),
            "spacing_mm": list(segmented.spacing_mm),
            "notes": list(segmented.notes),
            "flags": [{"code": flag.code, "message": flag.message} for flag in segmented.flags],
            "seconds": segmented.seconds | planned.seconds,
        }
        with catalog() as session:
            queries.record_plan(session, item.prediction_id, planned.rows, columns)
        shutil.rmtree(item.work, ignore_errors=True)
    return replace(planned, remarks=(*planned.remarks, *segmented.notes))


def _ids(predictors: Predictors) -> list[int]:
    return [*predictors.model_ids, *([predictors.locator_id] if predictors.locator_id is not None else [])]


def _segment(settings: Settings, name: str, volume: Volume, predictors: Predictors) -> Any:
    with one_prediction:
        with reading() as session:
            loaded = [
                segmenter_of(settings, session.get_one(Model, model_id), flips=predictors.flips)
                for model_id in _ids(predictors)
            ]
        many = len(predictors.model_ids)
        return segment(name, volume, mean_of(loaded[:many]), *loaded[many:])


def _write_dicom_seg(item: ScanToPredict, labels: Any, volume: Volume, predictors: Predictors) -> list[str]:
    """Write the DICOM SEG of a DICOM series; what was mended in it, or why there is none."""
    if item.scan.kind != "dicom" or not labels.any():
        return []
    name = f"KiTS platform model {'+'.join(map(str, predictors.model_ids))}"
    path = item.work / DICOM_SEG
    try:
        remarks = list(
            write_dicom_seg(
                path,
                labels,
                volume.affine,
                item.scan,
                algorithm=name,
                version=version("kits-platform"),
                hidden=hidden_of(item.scan) if item.deidentify else None,
            )
        )
    except CaseError as error:
        remarks = [f"no DICOM SEG was written: {_scrubbed(item)(str(error))}"]
    for remark in remarks:
        get_run_logger().warning("%s: %s", item.scan.name, remark)
    return remarks


def _check_recipes(models: Sequence[Model]) -> None:
    if len({model.run.recipe_id for model in models}) > 1:
        names = ", ".join(f"model {model.id} has {recipe_of(model).hash}" for model in models)
        raise KitsError(f"expected models of one recipe to average, got several ({names}); name models of one recipe")


def _rules(session: Session, models: Sequence[Model], *, flips: bool) -> Rules:
    """The clean-up that validation chose for a model; none for several, whose mean no validation has seen."""
    known = validated_cleanup(session, models[0].id, flips=flips) if len(models) == 1 else None
    return Choice.from_json(known).rules if known else Rules()


def _key(scan: Scan, models: Sequence[Model], locator: Model | None, out: Path, asked: PredictionRequest) -> str:
    """Changes with the scan's files, as their sizes and times tell, with the models, and with where results go."""
    files = [(str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) for path in scan.files]
    hashes = [model.sha256 for model in [*models, *([locator] if locator else [])]]
    named = json.dumps([files, scan.series_uid, hashes, asked.flips, str(out.absolute()), scan.name])
    if asked.deidentify:  # a plain hash of a path could be guessed
        return pseudonyms().digest(named)
    return hashlib.sha256(named.encode()).hexdigest()


def _taken(session: Session, folder: Path, scan: Scan, asked: PredictionRequest) -> str | None:
    """Why a scan's results must not be written to a folder; None where they may."""
    try:
        _check_is_no_source(session, folder, scan)
        check_same_plan(folder, scan.name, _source(scan, deidentify=asked.deidentify))
        check_replaceable(scan.name, folder, RESULTS, PLAN)
    except CaseError as error:
        return str(error)
    return None


def _check_is_no_source(session: Session, folder: Path, scan: Scan) -> None:
    """Raise `CaseError` for a folder that holds the scan itself, or lies in the folder that a dataset comes from."""
    place = folder.resolve()
    shown_as = {Path(reveal(source)): source for source in session.scalars(select(Dataset.source))}
    sources = [source for source in shown_as if source.is_absolute()]
    if any(file.resolve().is_relative_to(place) for file in scan.files):
        got = "the folder that holds the scan"
    elif inside := [source for source in sources if place.is_relative_to(source.resolve())]:
        got = f"one in {shown_as[inside[0]]}, which a dataset comes from"
    else:
        return
    raise CaseError(
        scan.name, expected="a folder for results alone", got=f"{folder}, {got}", next_step="choose another --out"
    )


def _licence(session: Session, predictors: Predictors) -> str:
    """KiTS's, where one of the models has learnt from its cases."""
    return next((text for one in _ids(predictors) if (text := data_of(session.get_one(Model, one)).licence)), "")


def _lineage(session: Session, item: ScanToPredict, predictors: Predictors, segmented: Segmented) -> dict[str, str]:
    models = [session.get_one(Model, model_id) for model_id in predictors.model_ids]
    first = models[0]
    recipe: Recipe = recipe_of(first)
    facts = {
        "scan": f"{item.source} ({item.scan.kind}, {' × '.join(map(str, segmented.shape))} voxels of "
        f"{' × '.join(f'{mm:.3g}' for mm in segmented.spacing_mm)} mm)",
        "scan SHA-256": segmented.sha256,
        "model": "; ".join(
            f"{m.id}, epoch {m.epoch} of run {m.run_id}, validation score {m.score:.3f}" for m in models
        ),
        "model SHA-256": "; ".join(model.sha256 for model in models),
        "recipe": f"{recipe.hash}: {recipe.frame} {recipe.shape}³",
        "trained on": data_of(first).text,
        "mirror averaging": "on" if predictors.flips else "off",
        "software": f"kits-platform {version('kits-platform')}",
        "prediction": f"number {item.prediction_id} in the catalog, flow run {flow_run_id()}",
    }
    if predictors.locator_id is not None:
        facts["kidneys found by"] = f"model {predictors.locator_id}"
    if segmented.notes:
        facts["in reading"] = "; ".join(segmented.notes)
    return facts


@contextmanager
def _noting_failure(item: ScanToPredict) -> Iterator[None]:
    try:
        with scrubbed_errors(item.scan.name, when=item.deidentify), naming_a_full_disk(item.folder, "its plan"):
            yield
    except Exception as error:
        if isinstance(error, KitsError):
            shutil.rmtree(item.work, ignore_errors=True)
        with catalog() as session:
            queries.end_prediction(session, item.prediction_id, why(item.scan.name, error))
        raise


def _find(asked: PredictionRequest) -> tuple[Sequence[Scan], list[str]]:
    """The scans, under pseudonyms where nobody is to be named, and the reasons for what is none."""
    paths = [Path(reveal(str(path))) for path in asked.scans]
    series = reveal(asked.series) if asked.series else None
    if asked.settle_seconds is not None:
        paths = settled(paths, asked.settle_seconds)
    if not asked.deidentify:
        found = find_scans(paths, series=series)
        return found.scans, [str(error) for error in found.refused]
    return find_hidden_scans(paths, series)


def _source(scan: Scan, *, deidentify: bool) -> str:
    return scan.name if deidentify else str(scan.path.absolute())


def _series_uid(scan: Scan, *, deidentify: bool) -> str | None:
    return pseudonyms().uid(scan.series_uid) if deidentify and scan.series_uid else scan.series_uid


def _scrubbed(item: ScanToPredict) -> Callable[[str], str]:
    return scrub if item.deidentify else str
