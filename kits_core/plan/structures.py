"""Where each structure of a plan is on the grid of its scan."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kits_core.geometry import Volume
from kits_core.labels import Label
from kits_core.plan.plan import Plan


def structure_map(plan: Plan, image: Volume, names: Sequence[str]) -> NDArray[np.uint8]:
    """Place in `names`, from 1, of what each voxel belongs to, 0 for none of them: uint8 on the grid of `image`.

    `image`: the plan's scan, or anything on its grid, with the axes of `anatomy.canonical`. `names`: at most 255, as
    `kidney_left`, `cyst_left`, `tumor_1`.
    """
    structures = np.zeros(image.shape, np.uint8)
    for kidney in plan.kidneys:
        patch = kidney.around.kidney.patch
        start = np.rint(np.linalg.solve(image.affine, patch.affine[:, 3])[:3]).astype(int)
        box = tuple(slice(first, first + n) for first, n in zip(start, patch.labels.shape, strict=True))
        target = structures[box]
        masks = {
            kidney.name: patch.labels == Label.KIDNEY,
            f"cyst_{kidney.side}": patch.labels == Label.CYST,
            **{f"tumor_{tumor.number}": tumor.mask for tumor in kidney.around.kidney.tumors},
        }
        for name, mask in masks.items():
            if name in names:
                target[mask] = names.index(name) + 1
    return structures
