"""The page of the Python interface: what mkdocstrings is to show, and in which order."""

import db
import kits_core
from deployments.reference.markdown import page

_SUBJECTS = {
    "Scans and masks": ("find_scans", "Scan", "read_scan", "ReadScan", "read_mask", "LabelMap", "read_volume",
                        "write_volume", "Volume", "Label"),
    "Preparing": ("Recipe", "prepare_case", "PreparedCase"),
    "Predicting": ("load_network", "Segmenter", "segment", "TrainingConfig"),
    "Scoring": ("score_case", "Score", "score_frame", "summarise", "official_summary", "diagonal_mm", "METRICS",
                "REGIONS", "Region"),
    "Planning": ("make_plan", "Plan", "plan_mask"),
    "Phantoms, errors": ("write_phantoms", "KitsError", "CaseError"),
}  # fmt: skip


def python_page() -> str:
    """The page of all public names."""
    subjects = [
        part
        for title, names in _SUBJECTS.items()
        for part in (f"## {title}", *(_shown(name, kits_core.PLACES) for name in names))
    ]
    return page(
        "# Python",
        "Made from the docstrings. `import kits_core` for scans, `import db` for the catalog. Both imports are cheap: "
        "each name is imported where it is first used. [The notebook](../how-to/notebook.md) uses most of them. "
        "Names that are not here may change in any version.",
        *subjects,
        "## The catalog",
        *(_shown(name, db.PLACES) for name in db.__all__),
    )


def _shown(name: str, places: dict[str, str]) -> str:
    return f"::: {places[name]}.{name}"
