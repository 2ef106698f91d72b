"""The fingerprint of a dataset in the catalog."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from prefect import task

from db.models import Case, CaseStatus, FileKind
from db.queries import ingest as queries
from kits_core.labels import Label
from tasks.catalog import reading
from tasks.policy import CATALOG

if TYPE_CHECKING:
    from kits_core.report.fingerprint import Outlier

_VOLUMES = {"kidney_ml": Label.KIDNEY, "tumor_ml": Label.TUMOR, "cyst_ml": Label.CYST}
_PERCENTILES = ("p0.5", "p75", "p99.5")


@dataclass(frozen=True)
class Fingerprint:
    """A dataset's ingested cases, their distributions as PNG, those that stand out, and how many files were what."""

    cases: int
    picture: bytes
    outliers: "list[Outlier]"
    source_dtypes: dict[str, int]
    orientations: dict[str, int]


@task(name="fingerprint-dataset", task_run_name="fingerprint {dataset}", **CATALOG)
def fingerprint_dataset(dataset: str) -> Fingerprint | None:
    """Describe the ingested cases of a dataset; None without any."""
    with reading() as session:
        row = queries.find_dataset(session, dataset)
        cases = queries.cases_of(session, row.id, CaseStatus.INGESTED)
    rows = [facts for case in cases if (facts := _facts(case))]
    if not rows:
        return None
    # Importing the drawing code takes over a second; an ingestion that finds nothing new does not need it.
    from kits_core.report.fingerprint import distributions, outliers  # noqa: PLC0415

    frame = pd.DataFrame(rows)
    return Fingerprint(
        cases=len(rows),
        picture=distributions(frame),
        outliers=outliers(frame),
        source_dtypes=frame["source_dtype"].fillna("unknown").value_counts().to_dict(),
        orientations=frame["orientation"].value_counts().to_dict(),
    )


def _facts(case: Case) -> dict[str, Any] | None:
    image = case.file(FileKind.IMAGE)
    if image is None:
        return None
    slice_axis = next(axis for axis, direction in enumerate(image.orientation) if direction in "SI")
    in_plane = [mm for axis, mm in enumerate(image.spacing_mm) if axis != slice_axis]
    ml = {volume.label: volume.ml for volume in case.volumes}
    percentiles = image.hu_percentiles or {}
    return {
        "case": case.name,
        "slices": image.shape[slice_axis],
        "slice_mm": image.spacing_mm[slice_axis],
        "in_plane_mm": min(in_plane),
        "height_mm": image.shape[slice_axis] * image.spacing_mm[slice_axis],
        "orientation": image.orientation,
        "source_dtype": image.source_dtype,
        **{f"hu_{name}": percentiles.get(name) for name in _PERCENTILES},
        **{name: ml.get(label) for name, label in _VOLUMES.items()},
    }
