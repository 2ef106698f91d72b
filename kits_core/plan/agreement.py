"""Compares the plan from a prediction with the plan from the reference of the same scan, value by value."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kits_core.geometry import Volume, read_volume
from kits_core.geometry.volume import canonical
from kits_core.plan.measurement import FOUND, TUMOR, Pair
from kits_core.plan.plan import Plan, make_plan
from kits_core.plan.structures import structure_map
from kits_core.recipe.prepare import read_reference


def compare_files(case: str, image: Path, prediction: Path, reference: Path) -> list[Pair]:
    """Plan a segmentation and its reference in the same way, and pair the values of matching structures.

    Raises `CaseError` for a reference that is on another grid or has other labels.
    """
    scan = read_volume(image)
    truth = Volume(read_reference(case, reference, scan), scan.affine)
    labels = Volume(np.asarray(read_volume(prediction).data, dtype=np.uint8), scan.affine)
    found = make_plan(case, labels, scan) if labels.data.any() else None
    return compare_plans(make_plan(case, truth, scan), found, scan)


def compare_plans(reference: Plan, prediction: Plan | None, image: Volume) -> list[Pair]:
    """Pair the values of two plans of one scan; `prediction` is None where it has nothing labelled.

    `image`: the scan, or anything on its grid. Kidneys match by side. Tumours match if they share voxels: each with at
    most one, the largest overlap first.
    """
    rows = [{(row.structure, row.name): row for row in plan.rows()} if plan else {} for plan in (reference, prediction)]
    known_as = {found: known for known, found in _same_tumors(reference, prediction, image)} if prediction else {}
    theirs = {}
    for (structure, name), row in rows[1].items():
        own = FOUND + structure.removeprefix(TUMOR) if structure.startswith(TUMOR) else structure
        theirs[known_as.get(structure, own), name] = row
    pairs = []
    for structure, name in dict.fromkeys([*rows[0], *theirs]):
        one, other = rows[0].get((structure, name)), theirs.get((structure, name))
        side = next(row.side for row in (one, other) if row)
        pairs.append(Pair(structure, side, name, one.value if one else None, other.value if other else None))
    return pairs


def _same_tumors(reference: Plan, prediction: Plan, image: Volume) -> Iterator[tuple[str, str]]:
    """Names in the reference and in the prediction."""
    turned = canonical(image)
    names = [[tumor.name for _, tumor in plan.tumors] for plan in (reference, prediction)]
    maps = [structure_map(plan, turned, own) for plan, own in zip((reference, prediction), names, strict=True)]
    both = (maps[0] > 0) & (maps[1] > 0)
    overlap = np.zeros([len(own) for own in names], np.int64)
    np.add.at(overlap, (maps[0][both] - 1, maps[1][both] - 1), 1)
    while overlap.size and overlap.max() > 0:
        one, other = np.unravel_index(overlap.argmax(), overlap.shape)
        yield names[0][int(one)], names[1][int(other)]
        overlap[one, :] = 0
        overlap[:, other] = 0
