"""A plan of every real mask: is each surface closed, and do the diameters agree with the radiologist's?

    python tests/benchmarks/real_plans.py [MASKS]

MASKS: a folder in the official layout, with its `kits23.json`, whose `radiographic_size` (cm) was read from the CT
before surgery. Compared with the largest diameter, in 3-D and in an axial plane, of the case's largest tumour. Exit
status 1 if a plan fails or a surface is not closed or off its mask's volume by more than 2 %.
"""

import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import trimesh
from common import show
from masks import MASKS, read_mask
from scipy.stats import pearsonr, spearmanr

from kits_core.geometry import Volume
from kits_core.labels import Label
from kits_core.plan.plan import Plan, make_plan
from kits_core.plan.surfaces import write_surfaces


def main() -> int:
    """Print a row a diameter, and what is wrong with a surface."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else MASKS
    if not folder.is_dir():
        print(f"not run: no real masks at {folder}")
        return 0
    records = {record["case_id"]: record for record in json.loads((folder / "kits23.json").read_text(encoding="utf-8"))}
    cases = sorted(path.parent for path in folder.glob("case_*/segmentation.nii.gz"))
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip([case.name for case in cases], pool.map(plan_mask, cases), strict=True))
    wrong = [f"{name}: {text}" for name, (_, texts, _) in found.items() for text in texts]
    rows = []
    for kind in ("diameter_mm", "axial_diameter_mm"):
        pairs = [(values[kind], 10 * records[name]["radiographic_size"]) for name, (values, _, _) in found.items()
                 if values and records[name]["radiographic_size"] is not None]  # fmt: skip
        ours, theirs = np.array(pairs).T
        error = ours - theirs
        spread = 1.96 * error.std(ddof=1)
        rows.append(
            {
                "measured": kind,
                "cases": len(pairs),
                "Pearson's r": float(pearsonr(ours, theirs).statistic),
                "Spearman's": float(spearmanr(ours, theirs).statistic),
                "mean minus radiographic size, mm": float(error.mean()),
                "limits of agreement, mm": f"{error.mean() - spread:+.1f} to {error.mean() + spread:+.1f}",
                "median absolute, mm": float(np.median(np.abs(error))),
            }
        )
    show(f"largest diameter of the largest tumour against radiographic_size, {len(cases)} masks", rows)
    surfaces = sum(number for _, _, number in found.values())
    print(f"{len(cases)} plans, {surfaces} surfaces, not closed or off by more than 2 %: {len(wrong)}")
    print("\n".join(wrong))
    return 1 if wrong else 0


def plan_mask(folder: Path) -> tuple[dict[str, float | None], list[str], int]:
    """Of the largest tumour every value; of the surfaces what is wrong, and how many there are."""
    labels, _, affine = read_mask(folder)
    start = time.perf_counter()
    plan = make_plan(folder.name, Volume(labels, affine))
    with tempfile.TemporaryDirectory() as name:
        written = [path for path in write_surfaces(Path(name), plan) if path.suffix == ".stl"]
        meshes = {path.stem: trimesh.load(path) for path in written}
    print(f"{folder.name}: {time.perf_counter() - start:.1f} s, {len(meshes)} surfaces", file=sys.stderr, flush=True)
    expected = volumes_ml(plan)
    wrong = [f"{name} is not closed" for name, mesh in meshes.items() if not mesh.is_watertight]
    wrong += [
        f"{name} holds {mesh.volume / 1000:.2f} ml, its mask {expected[name]:.2f}"
        for name, mesh in meshes.items()
        if abs(mesh.volume / 1000 / expected[name] - 1) > 0.02
    ]
    values = plan.tumors[0][1].measured.by_name if plan.tumors else {}
    return values, wrong, len(meshes)


def volumes_ml(plan: Plan) -> dict[str, float]:
    """Volume of each structure's voxels."""
    found = {}
    for kidney in plan.kidneys:
        mask, voxel = kidney.around.kidney, kidney.around.kidney.patch.voxel_ml
        found[f"kidney_{kidney.side}"] = float(mask.mask(Label.KIDNEY).sum()) * voxel
        found[f"cyst_{kidney.side}"] = float(mask.mask(Label.CYST).sum()) * voxel
        found |= {f"tumor_{tumor.number}": float(tumor.mask.sum()) * voxel for tumor in mask.tumors}
    return found


if __name__ == "__main__":
    sys.exit(main())
