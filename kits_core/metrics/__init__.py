"""Scores of a segmentation against a reference, on one grid."""

from kits_core.metrics.case import METRICS, Score, Status, missing_scores, score_case

__all__ = ["METRICS", "Score", "Status", "missing_scores", "score_case"]
