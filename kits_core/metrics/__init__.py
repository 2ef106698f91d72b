"""Scores of a segmentation against a reference, on one grid."""
