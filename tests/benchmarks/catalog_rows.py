"""A large catalog of invented rows: cases with files, volumes and records, one recipe, evaluations of many models."""

import random
from collections.abc import Iterable
from itertools import islice
from typing import Any

from sqlalchemy import Engine, insert

from db.models import (
    Base,
    Case,
    CaseFile,
    CaseMeasurement,
    CaseScore,
    Ceiling,
    ClinicalRecord,
    Dataset,
    EpochMetric,
    Evaluation,
    LabelVolume,
    Measurement,
    Model,
    Prediction,
    PredictionModel,
    PreparedCase,
    Problem,
    Recipe,
    ScoredCase,
    Split,
    SplitMember,
    TrainedCase,
    TrainingRun,
)
from db.models.base import now
from kits_core import recipe
from kits_core.labels import REGIONS, Region
from kits_core.metrics.known import METRICS, metrics_of
from kits_core.network.config import TrainingConfig

Row = dict[str, Any]

DATASET = "bench"
_LABELS = (1, 2, 3)
_CEILINGS = ("dice", "surface_dice")
_VALUES = ("loss", "kidney_dice", "tumor_dice", "score", "learning_rate", "seconds", "step_seconds")
_PLANNED = ("volume_ml", "diameter_mm", "contact_mm2")
_BATCH = 10_000
_HASH = "0123456789abcdef" * 4


def fill(engine: Engine, cases: int, held_out: int, evaluations: int) -> int:
    """Rows of `cases` cases, of which each evaluation scores the first `held_out`; the number of scores."""
    draw = random.Random(7)
    scored = range(1, held_out + 1)
    numbers = range(1, cases + 1)
    regions = [(region.name, metric.name) for region in REGIONS for metric in metrics_of(region)]
    _write(engine, Dataset, [{"name": DATASET, "source": "https://source.example"}])
    _write(engine, Case, (_case(n) for n in numbers))
    _write(engine, CaseFile, (_file(n, kind) for n in numbers for kind in ("image", "segmentation")))
    _write(engine, ClinicalRecord, (_record(n, draw) for n in numbers))
    _write(engine, LabelVolume, (_volume(n, label, draw) for n in numbers for label in _LABELS))
    _write(engine, Problem, (_problem(n, time) for time in (1, 2) for n in numbers if n % 50 == 0))
    _write(engine, Recipe, [{"hash": "recipe", "settings": recipe.Recipe().to_stored()}])
    _write(engine, PreparedCase, (_prepared(n) for n in numbers))
    _write(engine, Ceiling, (_ceiling(n, *pair) for n in numbers for pair in regions if pair[1] in _CEILINGS))
    _write(engine, Split, [{"dataset_id": 1, "hash": "split", "seed": 1, "validation_fraction": 0.4, "strata": {}}])
    _write(engine, SplitMember, (_member(n, "validation" if n in scored else "train") for n in numbers))
    for number in range(1, evaluations + 1):
        _write(engine, TrainingRun, [_run(number)])
        _write(engine, Model, [_model(number)])
        _write(engine, Evaluation, [_evaluation(number)])
        _write(engine, TrainedCase, (_trained(number, n) for n in numbers))
        _write(engine, EpochMetric, (_epoch(number, n, name, draw) for n in range(1, 51) for name in _VALUES))
        _write(engine, ScoredCase, (_files(number, n) for n in scored))
        _write(engine, CaseMeasurement, (_measured(number, n, draw) for n in scored))
        _write(engine, CaseScore, (_score(number, n, region, draw) for n in scored for region in REGIONS))
    _write(engine, Prediction, (_prediction(n) for n in range(1, cases // 5 + 1)))
    _write(engine, PredictionModel, (_predicted(n) for n in range(1, cases // 5 + 1)))
    _write(engine, Measurement, (_planned(n, name, draw) for n in range(1, cases // 5 + 1) for name in _PLANNED))
    return evaluations * held_out * len(regions)


def _write(engine: Engine, table: type[Base], rows: Iterable[Row]) -> None:
    waiting = iter(rows)
    with engine.begin() as connection:
        while batch := list(islice(waiting, _BATCH)):
            connection.execute(insert(table), batch)


def _case(number: int) -> Row:
    phase = ("arterial", "nephrogenic")[number % 2]
    return {
        "dataset_id": 1,
        "name": f"case_{number:05d}",
        "status": "ingested",
        "has_segmentation": True,
        "phase": phase,
    }


def _file(number: int, kind: str) -> Row:
    return {
        "case_id": number, "kind": kind, "path": f"raw/{DATASET}/case_{number:05d}/{kind}.nii",
        "source_url": f"https://source.example/case_{number:05d}/{kind}.nii.gz", "bytes": 100_000_000,
        "sha256": _hash(number, kind), "archive_bytes": 50_000_000, "archive_sha256": _hash(number, kind),
        "dtype": "int16", "shape": [512, 512, 100], "spacing_mm": [0.8, 0.8, 3.0], "orientation": "LPS",
        "affine": [[-0.8, 0.0, 0.0, 1.0], [0.0, -0.8, 0.0, 2.0], [0.0, 0.0, 3.0, 3.0], [0.0, 0.0, 0.0, 1.0]],
    }  # fmt: skip


def _record(number: int, draw: random.Random) -> Row:
    return {
        "case_id": number, "sex": ("female", "male")[number % 2], "age_years": draw.randint(20, 90),
        "pathology_t_stage": ("1a", "1b", "2a", "3")[number % 4], "tumor_histologic_subtype": "clear_cell_rcc",
        "extra": {},
    }  # fmt: skip


def _volume(number: int, label: int, draw: random.Random) -> Row:
    return {"case_id": number, "label": label, "voxels": 1000, "ml": draw.uniform(1, 200)}


def _problem(number: int, time: int) -> Row:
    resolved = now() if time == 1 else None
    return {"case_id": number, "stage": "ingest", "error": "expected a scan, got none", "resolved_at": resolved}


def _ceiling(number: int, region: str, metric: str) -> Row:
    return {"prepared_case_id": number, "region": region, "metric": metric, "value": 0.95}


def _member(number: int, subset: str) -> Row:
    return {"split_id": 1, "case_id": number, "stratum": "all", "subset": subset}


def _prepared(number: int) -> Row:
    return {
        "recipe_id": 1, "case_id": number, "image_path": "image.nii", "image_sha256": _hash(number, "prepared"),
        "label_path": "labels.nii", "label_sha256": _hash(number, "labels"), "geometry": {"shape": [128, 128, 128]},
        "source_image_sha256": _hash(number, "image"), "source_segmentation_sha256": _hash(number, "segmentation"),
        "tumor_kept": 1.0, "seconds": 1.0,
    }  # fmt: skip


def _run(number: int) -> Row:
    config = TrainingConfig(seed=number)
    return {
        "recipe_id": 1, "split_id": 1, "config": config.to_stored(), "config_hash": config.hash, "data_hash": "data",
        "environment": {"cpu": "one", "gpus": "none"}, "status": "completed", "ended_at": now(),
    }  # fmt: skip


def _model(number: int) -> Row:
    return {
        "run_id": number, "epoch": 50, "path": f"runs/{number}/best.keras", "sha256": _hash(number, "model"),
        "score": 0.8, "parameters": 10_000_000, "is_champion": number == 1,
    }  # fmt: skip


def _evaluation(number: int) -> Row:
    return {"model_id": number, "split_id": 1, "subset": "validation", "status": "completed"}


def _trained(run: int, case: int) -> Row:
    hashes = {"image_sha256": _hash(case, "prepared"), "label_sha256": _hash(case, "labels")}
    return {"run_id": run, "case_id": case} | hashes


def _epoch(run: int, epoch: int, name: str, draw: random.Random) -> Row:
    return {"run_id": run, "epoch": epoch, "name": name, "value": draw.random()}


def _files(evaluation: int, case: int) -> Row:
    hashes = {"image_sha256": _hash(case, "image"), "reference_sha256": _hash(case, "segmentation")}
    return {"evaluation_id": evaluation, "case_id": case} | hashes


def _measured(evaluation: int, case: int, draw: random.Random) -> Row:
    return {
        "evaluation_id": evaluation, "case_id": case, "structure": "tumor_1", "side": "left", "name": "diameter_mm",
        "reference": draw.uniform(5, 90), "prediction": draw.uniform(5, 90),
    }  # fmt: skip


def _prediction(number: int) -> Row:
    return {
        "key": f"key {number}", "scan": f"scan_{number:05d}", "source": f"/in/{number}", "kind": "nifti",
        "folder": f"/out/{number}", "flips": False, "status": "completed", "sha256": _hash(number, "scan"),
    }  # fmt: skip


def _predicted(number: int) -> Row:
    return {"prediction_id": number, "model_id": 1, "locates": False}


def _planned(number: int, name: str, draw: random.Random) -> Row:
    return {"prediction_id": number, "structure": "tumor_1", "side": "left", "name": name, "value": draw.uniform(1, 90)}


def _score(evaluation: int, case: int, region: Region, draw: random.Random) -> Row:
    missed = draw.random() < 0.02
    values = {metric.name: draw.random() for metric in METRICS}
    values["detected"] = 0.0 if missed else round(draw.random())
    none = {metric.name: None for metric in METRICS if metric not in metrics_of(region)}
    return {
        "evaluation_id": evaluation, "case_id": case, "region": region.name, "seconds": 0.1,
        "status": "prediction_empty" if missed else "ok",
    } | values | none  # fmt: skip


def _hash(number: int, kind: str) -> str:
    return f"{kind}-{number}-{_HASH}"[:64]
