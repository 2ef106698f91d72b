"""A plan from a mask of the user's own: no model, no server, no catalog."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from kits_core.errors import CaseError
from kits_core.files import sha256_of
from kits_core.geometry import Volume, write_volume
from kits_core.label_map import LabelMap
from kits_core.plan.files import PAGE, PLAN, RESULTS, SEGMENTATION, PlannedScan, check_same_plan, plan_scan
from kits_core.plan.page import PageFacts
from kits_core.results import check_replaceable, put_in_place
from kits_core.scan.find import Scan
from kits_core.scan.identity import Identity, identity_of, scan_sha256
from kits_core.scan.read import read_scan
from kits_core.structures import Labelled, read_mask
from kits_core.structures.read import THRESHOLD


@dataclass(frozen=True)
class PlannedMask:
    """Where a plan lies, and what it says in short. `notes`: how scan and mask were read."""

    folder: Path
    planned: PlannedScan
    notes: tuple[str, ...]

    @property
    def page(self) -> Path:
        """The page to look at."""
        return self.folder / PAGE


@dataclass(frozen=True)
class PlanOrigin:
    """What a plan says of where its files are and whose scan it is. `text`: any other text, as it may be shown."""

    source: str
    mask: str
    identity: Identity
    text: Callable[[str], str] = str


def plan_mask(
    scan: Scan,
    mask: Path,
    out: Path,
    names: LabelMap,
    *,
    created: str,
    threshold: float = THRESHOLD,
    other_series: bool = False,
    origin: PlanOrigin | None = None,
) -> PlannedMask:
    """Write plan, measurements, surfaces, page and labels of a mask into a folder of `out` with the scan's name.

    `created`: the time, for the page. `origin`: what the plan says of scan and mask; if None, their paths and the
    scan's identity. For the other arguments see `read_mask`. All files are made in a temporary folder and moved into
    place when they are complete. Raises `CaseError` for what `read_scan`, `read_mask` and `make_plan` refuse, and for a
    folder that holds the scan, the mask, the plan of another one, or a file that kits did not write.
    """
    folder = out / scan.name
    origin = origin or PlanOrigin(str(scan.path.absolute()), str(mask.absolute()), identity_of(scan))
    _check_apart(scan, mask, folder)
    check_same_plan(folder, scan.name, origin.source, origin.mask)
    check_replaceable(scan.name, folder, RESULTS, PLAN)
    read = read_scan(scan)
    labelled = read_mask(mask, scan, read.volume, names, threshold=threshold, other_series=other_series)
    notes = tuple(map(origin.text, (*read.notes, *labelled.notes)))
    facts = PageFacts(
        title=f"Surgical plan: {scan.name}",
        created=created,
        flags=[],
        lineage=_lineage(scan, mask, labelled, notes, origin),
        identity=origin.identity,
    )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{scan.name}.", suffix=".partial", dir=out) as made:
        work = Path(made)
        write_volume(work / SEGMENTATION, Volume(labelled.volume.data, read.volume.affine))
        planned = plan_scan(scan, work, facts, {"source": origin.source, "mask": origin.mask})
        put_in_place(scan.name, work, folder, PLAN)
    return PlannedMask(folder, planned, notes)


def _check_apart(scan: Scan, mask: Path, folder: Path) -> None:
    """Raise `CaseError` for a results folder that contains the scan or the mask."""
    place = folder.resolve()
    if inside := [file for file in (*scan.files, mask) if file.resolve().is_relative_to(place)]:
        raise CaseError(
            scan.name,
            expected="a folder for results alone",
            got=f"{folder}, which holds {inside[0].name}",
            next_step="choose another --out",
        )


def _lineage(scan: Scan, mask: Path, labelled: Labelled, notes: tuple[str, ...], origin: PlanOrigin) -> dict[str, str]:
    volume = labelled.volume
    meanings = ", ".join(f"{name}: {label.name.lower()}" for name, label in labelled.meanings.items())
    lines = {
        "scan": f"{origin.source} ({scan.kind}, {' × '.join(map(str, volume.shape))} voxels of "
        f"{' × '.join(f'{mm:.3g}' for mm in volume.spacing_mm)} mm)",
        "scan SHA-256": scan_sha256(scan),
        "segmentation": f"{origin.mask}, not made by this software",
        "segmentation SHA-256": sha256_of(mask),
        "read as": origin.text(meanings),
        "software": f"kits-platform {version('kits-platform')}",
    }
    return lines | ({"in reading": "; ".join(notes)} if notes else {})
