"""The metrics, and the status of a measured value. Imports nothing that computes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from kits_core.labels import Region

CSV_COLUMNS = ("case_id", "region", "metric", "value", "status")
"""Columns of a file of scores, one value a row."""


class Status(StrEnum):
    """Whether both masks had voxels when a value was measured, and if not, which one had none."""

    OK = "ok"
    PREDICTION_EMPTY = "prediction_empty"
    REFERENCE_EMPTY = "reference_empty"
    BOTH_EMPTY = "both_empty"
    MISSING = "missing"


@dataclass(frozen=True)
class Metric:
    """A metric: its stored `name`, its `title` in tables, and its `definition` in words.

    `kind`: an `overlap` score from 0 to 1 is 0 or 1 where a mask is empty, a `distance` in mm has no value there, a
    `volume` in ml is as found, and a `detection` has no value where there is nothing to find.
    """

    name: str
    title: str
    kind: Literal["overlap", "distance", "volume", "detection"]
    definition: str

    @property
    def digits(self) -> int:
        """Decimal places that a table shows."""
        return 3 if self.kind in ("overlap", "detection") else 1


METRICS: tuple[Metric, ...] = (
    Metric("dice", "Dice", "overlap", "2|P∩R| / (|P|+|R|), over voxels (Dice 1945)"),
    Metric("iou", "IoU", "overlap", "|P∩R| / |P∪R|, over voxels (Jaccard 1901)"),
    Metric(
        "surface_dice",
        "surface Dice",
        "overlap",
        "share of both surfaces' area within the challenge's tolerance of the other surface (Nikolov et al. 2021); "
        "where the challenge has a tolerance: kidney and mass 1.03 mm, mass 1.13 mm, tumor 1.15 mm",
    ),
    Metric(
        "volumetric_similarity",
        "volumetric similarity",
        "overlap",
        "1 - ||P|-|R|| / (|P|+|R|), which says nothing of the place (Taha & Hanbury 2015)",
    ),
    Metric(
        "hausdorff_mm",
        "Hausdorff, mm",
        "distance",
        "the largest distance of a surface voxel's centre to the other surface (Taha & Hanbury 2015)",
    ),
    Metric(
        "hausdorff95_mm",
        "HD95, mm",
        "distance",
        "the larger of the two directed 95th percentiles of those distances",
    ),
    Metric(
        "mean_surface_distance_mm",
        "mean surface distance, mm",
        "distance",
        "the mean of those distances over the voxels of both surfaces (Heimann et al. 2009)",
    ),
    Metric(
        "detected",
        "detected",
        "detection",
        "1 where prediction and reference share a voxel, 0 where they share none; none where the reference is empty",
    ),
    Metric("prediction_ml", "predicted, ml", "volume", "voxels of the prediction times the voxel's volume"),
    Metric("reference_ml", "reference, ml", "volume", "voxels of the reference times the voxel's volume"),
)
"""Every metric, in the order in which they are shown. P and R: the voxels of prediction and reference."""

BY_NAME = {metric.name: metric for metric in METRICS}


def metrics_of(region: Region) -> tuple[Metric, ...]:
    """The metrics that a region has: surface Dice needs a tolerance."""
    return tuple(m for m in METRICS if m.name != "surface_dice" or region.tolerance_mm is not None)


@dataclass(frozen=True)
class Score:
    """One value of one region. `value` is None where the metric has none (a distance to an empty mask)."""

    region: str
    metric: str
    value: float | None
    status: Status
    seconds: float
