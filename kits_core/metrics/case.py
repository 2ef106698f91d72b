"""All scores of one case: every region and metric, each with its status."""

import time

import numpy as np
from numpy.typing import NDArray

from kits_core.geometry.boxes import Slices, bounding_box
from kits_core.labels import REGIONS, Region
from kits_core.metrics import overlap
from kits_core.metrics.known import METRICS, metrics_of
from kits_core.metrics.metric import MaskPair, Metric, Spacing, volume_ml
from kits_core.metrics.score import Score, Status

Labels = NDArray[np.uint8]


def score_case(prediction: Labels, reference: Labels, spacing_mm: Spacing) -> list[Score]:
    """Every metric of every region. Both label maps: uint8, one shape, labels 0 to 3; spacing per axis in mm.

    Empty masks: overlap scores are 1 where both are empty and 0 where one is, as the challenge has it; distances have
    no value; volumes are as found. Regions of the same voxels (`foreground`, `kidney_and_mass`) are measured once.
    Raises `ValueError` where the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
    box = _common_box(prediction, reference)
    prediction, reference = prediction[box], reference[box]
    measured: dict[frozenset[int], list[Score]] = {}
    for region in sorted(REGIONS, key=lambda region: region.tolerance_mm is None):
        if frozenset(region.labels) not in measured:
            measured[frozenset(region.labels)] = _score_region(region, prediction, reference, spacing_mm)
    return [
        Score(region.name, metric.name, score.value, score.status, score.seconds)
        for region in REGIONS
        for metric in metrics_of(region)
        for score in measured[frozenset(region.labels)]
        if score.metric == metric.name
    ]


def missing_case(reference: Labels, spacing_mm: Spacing) -> list[Score]:
    """The scores of a case that nothing was predicted for: overlap and detection 0, no distance, no volume.

    `reference`: uint8 `(x, y, z)`, labels 0 to 3; spacing per axis in mm. A region that is empty in the reference
    scores 0 too, so that leaving a case out never raises a mean.
    """
    scores = []
    for region in REGIONS:
        start = time.perf_counter()
        mask = overlap.region_mask(reference, region)
        reference_ml = volume_ml(mask, spacing_mm)
        seconds = time.perf_counter() - start
        for metric in metrics_of(region):
            value: float | None = 0.0 if metric.kind == "overlap" else None
            if metric.name == "reference_ml":
                value = reference_ml
            elif metric.kind == "detection" and reference_ml:
                value = 0.0
            scores.append(Score(region.name, metric.name, value, Status.MISSING, seconds))
    return scores


def _score_region(region: Region, prediction: Labels, reference: Labels, spacing_mm: Spacing) -> list[Score]:
    start = time.perf_counter()
    p, r = (overlap.region_mask(labels, region) for labels in (prediction, reference))
    box = _common_box(p, r)
    p, r = np.ascontiguousarray(p[box]), np.ascontiguousarray(r[box])
    status = _status(p, r)
    pair = MaskPair(p, r, spacing_mm, region.tolerance_mm)
    values = {m.name: float(m.measure(pair)) for m in metrics_of(region) if _has_value(m, status)}
    seconds = time.perf_counter() - start
    return [Score(region.name, metric.name, values.get(metric.name), status, seconds) for metric in METRICS]


def _has_value(metric: Metric, status: Status) -> bool:
    match metric.kind:
        case "distance":
            return status is Status.OK
        case "detection":
            return status in (Status.OK, Status.PREDICTION_EMPTY)
        case _:
            return True


def _common_box(one: NDArray[np.generic], other: NDArray[np.generic]) -> Slices:
    """The smallest box around all voxels that are not zero in either; an empty box where both are all zero."""
    boxes = [box for box in (bounding_box(one), bounding_box(other)) if box is not None]
    if not boxes:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    i, j, k = (slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*boxes, strict=True))
    return i, j, k


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
