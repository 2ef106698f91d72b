"""A plan in a folder: its scan, and who segmented it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kits_core.errors import CaseError
from kits_core.plan.files import PLAN
from kits_core.scan.find import Scan, find_scans
from kits_core.scan.identity import scan_sha256

_AGAIN = "put the scan back where it was, or make the plan again"


@dataclass(frozen=True)
class PlanRecord:
    """What `plan.json` says. `name`: of the scan. `source`: its path, or a pseudonym. `sha256`: see `scan_sha256`.

    `series_uid`: SeriesInstanceUID, or a pseudonymous one; None for a NIfTI. `segmented_by`: for people. `mask_sha256`:
    of the person's mask that was planned; None for a model's.
    """

    folder: Path
    name: str
    source: str
    series_uid: str | None
    sha256: str
    segmented_by: str
    mask_sha256: str | None = None


def is_plan(folder: Path) -> bool:
    """Whether a folder holds a plan."""
    return (folder / PLAN).is_file()


def read_plan(folder: Path) -> PlanRecord:
    """The plan in a folder. Raises `CaseError` for a `plan.json` that cannot be read or says no scan."""
    path = folder / PLAN
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        lineage = record["lineage"]
        return PlanRecord(
            folder,
            str(record["scan"]),
            str(record["source"]),
            record["identity"].get("series_uid"),
            str(lineage["scan SHA-256"]),
            _segmented_by(record, lineage),
            lineage.get("segmentation SHA-256"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CaseError(
            folder.name,
            expected=f"a plan of kits predict as {path}",
            got=f"one that cannot be read ({type(error).__name__}: {error})",
            next_step="make the plan again",
        ) from error


def _segmented_by(record: dict[str, Any], lineage: dict[str, str]) -> str:
    if "prediction_id" in record:
        return f"prediction {record['prediction_id']} by model {lineage['model']}"
    return f"the mask {record['mask']}"


def same_scan(name: str, place: Path, series_uid: str | None, sha256: str) -> Scan:
    """The scan of a plan, called `name`: the one at `place` whose hash (`scan_sha256`) is still the plan's.

    Raises `CaseError` where nothing can be read at `place`, and where it is another scan now.
    """
    found = find_scans([place], series=series_uid)
    if not found.scans:
        raise CaseError(name, expected=f"the plan's scan at {place}", got=found.refused[0].got, next_step=_AGAIN)
    for scan in found.scans:
        if scan_sha256(scan) == sha256:
            return Scan(name, scan.path, scan.kind, scan.files, scan.series_uid)
    raise CaseError(
        name,
        expected=f"the scan that the plan was made of at {place} (SHA-256 {sha256[:12]}...)",
        got="one that has changed since",
        next_step=_AGAIN,
    )
