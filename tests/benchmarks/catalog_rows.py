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
    CaseMetric,
    Ceiling,
    ClinicalRecord,
    Dataset,
    Evaluation,
    LabelVolume,
    Model,
    PreparedCase,
    Problem,
    Recipe,
    Split,
    SplitMember,
    TrainingRun,
)
from kits_core.labels import REGIONS
from kits_core.metrics.score import metrics_of

Row = dict[str, Any]

DATASET = "bench"
_LABELS = (1, 2, 3)
_CEILINGS = ("dice", "surface_dice")
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
    _write(engine, Problem, (_problem(n) for n in numbers if n % 50 == 0))
    _write(engine, Recipe, [{"hash": "recipe", "settings": {}}])
    _write(engine, PreparedCase, (_prepared(n) for n in numbers))
    _write(engine, Ceiling, (_ceiling(n, *pair) for n in numbers for pair in regions if pair[1] in _CEILINGS))
    _write(engine, Split, [{"dataset_id": 1, "hash": "split", "seed": 1, "validation_fraction": 0.4, "strata": {}}])
    _write(engine, SplitMember, (_member(n, "validation" if n in scored else "train") for n in numbers))
    for number in range(1, evaluations + 1):
        _write(engine, TrainingRun, [_run(number)])
        _write(engine, Model, [_model(number)])
        _write(engine, Evaluation, [_evaluation(number)])
        _write(engine, CaseMetric, (_score(number, n, *pair, draw) for n in scored for pair in regions))
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


def _problem(number: int) -> Row:
    return {"case_id": number, "stage": "ingest", "error": "expected a scan, got none"}


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
    return {
        "recipe_id": 1, "split_id": 1, "config": {}, "config_hash": f"config {number}", "data_hash": "data",
        "environment": {},
        "status": "completed",
    }  # fmt: skip


def _model(number: int) -> Row:
    return {
        "run_id": number, "epoch": 50, "path": f"runs/{number}/best.keras", "sha256": _hash(number, "model"),
        "score": 0.8, "parameters": 10_000_000, "is_champion": number == 1,
    }  # fmt: skip


def _evaluation(number: int) -> Row:
    return {"model_id": number, "split_id": 1, "subset": "validation", "status": "completed"}


def _score(evaluation: int, case: int, region: str, metric: str, draw: random.Random) -> Row:
    missed = draw.random() < 0.02
    return {
        "evaluation_id": evaluation, "case_id": case, "region": region, "metric": metric,
        "value": (0.0 if missed else round(draw.random())) if metric == "detected" else draw.random(),
        "status": "prediction_empty" if missed else "ok", "seconds": 0.1,
    }  # fmt: skip


def _hash(number: int, kind: str) -> str:
    return f"{kind}-{number}-{_HASH}"[:64]
