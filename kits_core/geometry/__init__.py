"""Volumes, grids, and the way from one grid to another and back."""

from kits_core.geometry.grid_map import GridMap
from kits_core.geometry.resample import resample_image, resample_labels, restore_labels
from kits_core.geometry.volume import Volume, read_volume, voxels_sha256, write_volume

__all__ = [
    "GridMap",
    "Volume",
    "read_volume",
    "resample_image",
    "resample_labels",
    "restore_labels",
    "voxels_sha256",
    "write_volume",
]
