"""Segmentations that people have, read onto the grid of their scan: DICOM SEG, RTSTRUCT, NRRD and NIfTI."""

from kits_core.structures.describe import Description, describe
from kits_core.structures.labels import labels_of
from kits_core.structures.mask import read_mask
from kits_core.structures.read import Labelled, read_labels, read_structures
from kits_core.structures.structure import Code, Reference, Structure, Structures

__all__ = [
    "Code",
    "Description",
    "Labelled",
    "Reference",
    "Structure",
    "Structures",
    "describe",
    "labels_of",
    "read_labels",
    "read_mask",
    "read_structures",
]
