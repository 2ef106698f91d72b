"""Writes a plan as files in a folder, beside the segmentation."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kits_core.errors import CaseError
from kits_core.files import write_text_atomically
from kits_core.geometry import Volume, read_volume
from kits_core.plan.measurement import Row
from kits_core.plan.page import PageFacts, render
from kits_core.plan.plan import Plan, make_plan
from kits_core.plan.surfaces import write_surfaces
from kits_core.scan.find import Scan
from kits_core.scan.read import read_scan

SEGMENTATION, PLAN, PAGE, SURFACES, DICOM_SEG = (
    "segmentation.nii.gz", "plan.json", "plan.html", "surfaces", "segmentation.dcm",
)  # fmt: skip
RESULTS = (SEGMENTATION, DICOM_SEG, PAGE, PLAN)
"""Files that a prediction may write, beside the surfaces."""


@dataclass(frozen=True)
class PlannedScan:
    """A short summary of a plan. `tumors`: one row for each tumour, for people. `seconds`: by step."""

    rows: tuple[Row, ...]
    tumors: tuple[dict[str, str], ...]
    remarks: tuple[str, ...]
    seconds: dict[str, float]


def plan_scan(scan: Scan, folder: Path, facts: PageFacts, extra: Mapping[str, Any]) -> PlannedScan:
    """Plan the scan whose segmentation lies in `folder`: write surfaces, the page, and last `plan.json`.

    `plan.json` names the patient, study and series of `facts` under `identity`; null is not stated. `extra`: what it
    says beside the plan. Raises `CaseError` where nothing is segmented.
    """
    clock = _Clock()
    image = read_scan(scan).volume
    labels = read_volume(folder / SEGMENTATION)
    labels = Volume(np.asarray(labels.data, dtype=np.uint8), image.affine)
    clock.lap("read again")
    plan = make_plan(scan.name, labels, image)
    clock.lap("measure")
    facts = replace(facts, flags=[*facts.flags, *plan.doubts])
    surfaces = write_surfaces(folder / SURFACES, plan)
    clock.lap("surfaces")
    write_text_atomically(folder / PAGE, render(plan, image, facts))
    clock.lap("page")
    files = {"segmentation": SEGMENTATION, "surfaces": [f"{SURFACES}/{path.name}" for path in surfaces], "page": PAGE}
    whose = {name: text or None for name, text in asdict(facts.identity).items()}
    record = {"scan": scan.name, "identity": whose, **extra, "flags": list(facts.flags)}
    record |= {"lineage": dict(facts.lineage), "files": files}
    text = json.dumps(record | plan.to_json(), indent=2, ensure_ascii=False)
    write_text_atomically(folder / PLAN, text + "\n")
    return PlannedScan(tuple(plan.rows()), tuple(_shown(plan)), plan.anatomy.remarks, clock.seconds)


def check_same_plan(folder: Path, case: str, source: str, mask: str | None = None) -> None:
    """Raise `CaseError` for a folder that holds a plan of another scan or of another mask.

    `source`: what `plan.json` says of where the scan is. `mask`: where a person's mask is; None for a model's.
    """
    try:
        record = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        found = record.get("source"), record.get("mask")
    except (OSError, ValueError, AttributeError):  # no plan of kits: the files are checked one by one
        return
    if found != (source, mask):
        whose = "another scan" if found[0] != source else "another segmentation"
        of = found[0] if found[0] != source else found[1] or "a model"
        raise CaseError(
            case, expected=f"no plan of {whose} in {folder}", got=f"one of {of}", next_step="choose another --out"
        )


def _shown(plan: Plan) -> Sequence[dict[str, str]]:
    shown = []
    for kidney, tumor in plan.tumors:
        values = tumor.measured.by_name
        shown.append(
            {
                "tumour": str(tumor.measured.number),
                "side": kidney.side,
                "volume, ml": f"{values['volume_ml']:.1f}",
                "largest diameter, mm": f"{values['diameter_mm']:.0f}",
                "R.E.N.A.L.": str(tumor.renal),
                "complexity": tumor.renal.complexity or "unknown",
            }
        )
    return shown


class _Clock:
    def __init__(self) -> None:
        self._last, self.seconds = time.perf_counter(), dict[str, float]()

    def lap(self, step: str) -> None:
        """Note the seconds since the last lap under `step`."""
        now = time.perf_counter()
        self.seconds[step], self._last = now - self._last, now
