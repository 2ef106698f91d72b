"""The predictions of an evaluation as files under their cases' names, with their scores."""

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Evaluation, RunStatus
from db.queries import evaluation as queries
from db.queries.training import find_model
from db.settings import current_settings
from kits_core.case_names import folder_name
from kits_core.errors import KitsError
from kits_core.labels import Label
from kits_core.metrics.score import CSV_COLUMNS
from kits_core.source.layout import put
from kits_core.source.layouts.nnunet import DESCRIPTION
from kits_core.text import csv_cell
from tasks.catalog import reading
from tasks.evaluate import prediction_path
from tasks.export import check_out, written_folder

LAYOUTS = ("plain", "kits", "nnunet")
SCORES = "scores.csv"


@dataclass(frozen=True)
class ExportedPredictions:
    """What was written where. `missing`: cases of the evaluation without a prediction."""

    evaluation_id: int
    folder: str
    cases: int
    missing: tuple[str, ...]


def export_predictions(
    evaluation: int | None, model: str | None, layout: str, out: Path, on_case: Callable[[int, int, str], None]
) -> ExportedPredictions:
    """Write the predictions of an evaluation, or of a model's newest, to the folder `out`, whole or not at all.

    `layout`: `plain`, a file a case; `kits`, a folder a case, as `kits score` and the challenge's tools take it;
    `nnunet`, named and stored as `kits export nnunet` does with references. Masks are copies: what someone corrects in
    the export changes nothing in the home. `on_case`: as of `export_dataset`. Raises `KitsError` for another layout, an
    evaluation that is not there or not complete, files that are gone, and a folder that is not empty.
    """
    if layout not in LAYOUTS:
        raise KitsError(f"layout: expected one of {', '.join(LAYOUTS)}, got {layout!r}; name one of these")
    out = check_out(out)
    with reading() as session:
        row = _find(session, evaluation, model)
        number, cases = row.id, [member.case.name for member in queries.evaluated_members(session, row)]
        scores = queries.score_frame(session, number)
    without = set(scores.loc[scores["status"] == "missing", "case"])
    there = [case for case in cases if case not in without]
    files = {case: prediction_path(current_settings(), number, case) for case in there}
    if gone := [path for path in files.values() if not path.is_file()]:
        raise KitsError(
            f"evaluation {number}: expected {gone[0]}, got no such file ({len(gone)} of {len(files)} are gone); it can "
            "be predicted again by another evaluation, as with --flips"
        )
    with written_folder(out) as aside:
        for done, (case, path) in enumerate(files.items(), 1):
            _put(path, aside, case, layout)
            on_case(done, len(files), case)
        _write_scores(aside / SCORES, scores)
        if layout == "nnunet":
            labels = {label.name.lower(): int(label) for label in Label}
            facts = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii"}
            (aside / DESCRIPTION).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return ExportedPredictions(number, str(out), len(there), tuple(sorted(without)))


def _find(session: Session, evaluation: int | None, model: str | None) -> Evaluation:
    if model is not None:
        number = find_model(session, model).id
        done = (Evaluation.model_id == number) & (Evaluation.status == RunStatus.COMPLETED)
        row = session.scalars(select(Evaluation).where(done).order_by(Evaluation.ended_at.desc())).first()
        if row is None:
            raise KitsError(
                f"model {number}: expected a completed evaluation, got none; run kits evaluate --model {number}"
            )
        return row
    row = queries.find_evaluation(session, evaluation)
    if row.status is not RunStatus.COMPLETED:
        raise KitsError(f"evaluation {row.id}: expected it to be completed, got {row.status}; run kits evaluate")
    return row


def _put(path: Path, out: Path, case: str, layout: str) -> None:
    name = folder_name(case)
    if layout == "kits":
        put(path, out / name / "segmentation.nii.gz", is_mask=True)
    elif layout == "plain":
        put(path, out / f"{name}.nii.gz", is_mask=True)
    else:
        with gzip.open(path) as packed, (out / f"{name}.nii").open("wb") as plain:
            shutil.copyfileobj(packed, plain)


def _write_scores(path: Path, scores: pd.DataFrame) -> None:
    """Long, as `kits score --csv` writes them, so that `kits compare` takes them; empty where there is no value."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for row in scores.itertuples():
            value = "" if pd.isna(row.value) else repr(float(row.value))
            writer.writerow([csv_cell(cell) for cell in (row.case, row.region, row.metric, value, str(row.status))])
