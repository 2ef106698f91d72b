"""Predictions as files: each says which network saw which image, and is scored where it lies. Imports no Keras."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from kits_core.geometry import Volume, read_volume, write_volume
from kits_core.inference.cleanup import Islands, Rules, clean, find_islands
from kits_core.metrics.case import missing_case, score_case
from kits_core.metrics.score import Score
from kits_core.recipe.prepare import read_reference


def note_of(*sha256: str) -> str:
    """The origin as a prediction's header has it: the first digits of each hash, at most 79 characters."""
    return "kits " + " ".join(one[: 72 // len(sha256) - 1] for one in sha256)


def is_prediction(path: Path, note: str) -> bool:
    """Whether there is a readable prediction with this origin."""
    try:
        return _note_in(path) == note
    except (OSError, ImageFileError):
        return False


def score_prediction(case: str, prediction: Path, reference: Path, rules: Rules) -> list[Score]:
    """Clean a prediction by the rules, in its file too, and score it.

    Raises `CaseError` for a reference that does not fit.
    """
    found = read_volume(prediction)
    truth = read_reference(case, reference, found)
    labels = np.asarray(found.data, dtype=np.uint8)
    cleaned = clean(labels, found.spacing_mm, rules)
    if cleaned is not labels:
        write_volume(prediction, Volume(cleaned, found.affine), note=_note_in(prediction))
    return score_case(cleaned, truth, found.spacing_mm)


def islands_of(case: str, prediction: Path, reference: Path) -> Islands:
    """Counts that show which islands a prediction has, and whether removing them helps."""
    found = read_volume(prediction)
    truth = read_reference(case, reference, found)
    return find_islands(np.asarray(found.data, dtype=np.uint8), truth, found.spacing_mm)


def score_missing(case: str, image: Path, reference: Path) -> list[Score]:
    """The scores of a case that nothing could be predicted for."""
    scan = read_volume(image)
    return missing_case(read_reference(case, reference, scan), scan.spacing_mm)


def _note_in(path: Path) -> str:
    return bytes(nib.load(path).header["descrip"]).rstrip(b"\0").decode("latin-1")
