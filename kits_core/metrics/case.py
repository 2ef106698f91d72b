"""All scores of one case: every region, every metric, each with what became of it."""

import time

import numpy as np
from numpy.typing import NDArray

from kits_core.labels import REGIONS, Region
from kits_core.metrics import distance, overlap
from kits_core.metrics.score import Score, Status

OVERLAP_METRICS = ("dice", "iou", "volumetric_similarity")
DISTANCE_METRICS = ("hausdorff_mm", "hausdorff95_mm", "mean_surface_distance_mm")
VOLUME_METRICS = ("prediction_ml", "reference_ml")
METRICS = (*OVERLAP_METRICS, *DISTANCE_METRICS, *VOLUME_METRICS)


def score_case(
    prediction: NDArray[np.uint8], reference: NDArray[np.uint8], spacing_mm: tuple[float, float, float]
) -> list[Score]:
    """Every metric of every region. Both label maps: uint8, one shape, labels 0 to 3; spacing per axis in mm.

    Empty masks: overlap scores 1 where both are empty and 0 where one is; distances have no value.
    Volumes are as found.
    Raises `ValueError` where the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
    return [score for region in REGIONS for score in _score_region(region, prediction, reference, spacing_mm)]


def _score_region(
    region: Region, prediction: NDArray[np.uint8], reference: NDArray[np.uint8], spacing_mm: tuple[float, float, float]
) -> list[Score]:
    start = time.perf_counter()
    p, r = np.isin(prediction, region.labels), np.isin(reference, region.labels)
    status = _status(p, r)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    values: dict[str, float | None] = {
        "dice": overlap.dice(p, r),
        "iou": overlap.iou(p, r),
        "volumetric_similarity": overlap.volumetric_similarity(p, r),
        "prediction_ml": np.count_nonzero(p) * voxel_ml,
        "reference_ml": np.count_nonzero(r) * voxel_ml,
    }
    if status is Status.OK:
        distances_mm = distance.surface_distances_mm(p, r, spacing_mm)
        values["hausdorff_mm"] = distance.hausdorff_mm(distances_mm)
        values["hausdorff95_mm"] = distance.hausdorff95_mm(distances_mm)
        values["mean_surface_distance_mm"] = distance.mean_surface_distance_mm(distances_mm)
    seconds = time.perf_counter() - start
    return [Score(region.name, metric, values.get(metric), status, seconds) for metric in METRICS]


def _status(prediction: overlap.Mask, reference: overlap.Mask) -> Status:
    match bool(prediction.any()), bool(reference.any()):
        case True, True:
            return Status.OK
        case False, True:
            return Status.PREDICTION_EMPTY
        case True, False:
            return Status.REFERENCE_EMPTY
        case _:
            return Status.BOTH_EMPTY
