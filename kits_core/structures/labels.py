"""Named structures as one label map."""

import numpy as np
from numpy.typing import NDArray

from kits_core.errors import CaseError
from kits_core.label_map import HOW_TO_MAP, LabelMap
from kits_core.labels import Label
from kits_core.structures.structure import Structures

_LATER_WINS = (Label.KIDNEY, Label.CYST, Label.TUMOR)
"""A tumour inside a kidney, or inside a drawn cyst, counts as tumour."""


def labels_of(case: str, structures: Structures, names: LabelMap) -> NDArray[np.uint8]:
    """The labels of structures: uint8 of `structures.shape`, values of `Label`.

    Where structures share a voxel, a cyst comes before a kidney and a tumour before both. Raises `CaseError` that lists
    the names without a meaning, and where no structure is a kidney, tumour or cyst.
    """
    labels = names.labels_of(case, (one.name for one in structures.structures))
    if not set(labels.values()) - {Label.BACKGROUND}:
        listed = ", ".join(map(repr, labels)) or "none"
        raise CaseError(
            case, expected="a kidney, tumour or cyst among the structures", got=listed, next_step=HOW_TO_MAP
        )
    result = np.zeros(structures.shape, np.uint8, order="F")
    for label in _LATER_WINS:
        for one in structures.structures:
            if labels[one.name] is label:
                result[one.box][one.mask] = label
    return result
