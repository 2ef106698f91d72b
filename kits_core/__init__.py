"""The domain of kidney-tumour CT: pure functions and frozen values. No Prefect, no SQL, no settings, no globals.

`import kits_core` is the interface for notebooks and scripts: the names of `__all__` are stable, others may change.
Each is imported where it is first used, so the import itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kits_core.errors import CaseError, KitsError
    from kits_core.geometry.volume import Volume, read_volume, write_volume
    from kits_core.inference.predict import Segmenter, segment
    from kits_core.label_map import LabelMap
    from kits_core.labels import REGIONS, Label, Region
    from kits_core.metrics.aggregate import diagonal_mm, official_summary, score_frame, summarise
    from kits_core.metrics.case import score_case
    from kits_core.metrics.known import METRICS
    from kits_core.metrics.score import Score
    from kits_core.network.checkpoint import load_network
    from kits_core.network.config import TrainingConfig
    from kits_core.phantom.dataset import write_phantoms
    from kits_core.plan.from_mask import plan_mask
    from kits_core.plan.plan import Plan, make_plan
    from kits_core.recipe.prepare import PreparedCase, prepare_case
    from kits_core.recipe.recipe import Recipe
    from kits_core.scan.find import Scan, find_scans
    from kits_core.scan.read import ReadScan, read_scan
    from kits_core.structures.mask import read_mask

PLACES = {
    "CaseError": "kits_core.errors",
    "KitsError": "kits_core.errors",
    "Label": "kits_core.labels",
    "LabelMap": "kits_core.label_map",
    "METRICS": "kits_core.metrics.known",
    "Plan": "kits_core.plan.plan",
    "PreparedCase": "kits_core.recipe.prepare",
    "REGIONS": "kits_core.labels",
    "ReadScan": "kits_core.scan.read",
    "Recipe": "kits_core.recipe.recipe",
    "Region": "kits_core.labels",
    "Scan": "kits_core.scan.find",
    "Score": "kits_core.metrics.score",
    "Segmenter": "kits_core.inference.predict",
    "TrainingConfig": "kits_core.network.config",
    "Volume": "kits_core.geometry.volume",
    "diagonal_mm": "kits_core.metrics.aggregate",
    "find_scans": "kits_core.scan.find",
    "load_network": "kits_core.network.checkpoint",
    "make_plan": "kits_core.plan.plan",
    "official_summary": "kits_core.metrics.aggregate",
    "plan_mask": "kits_core.plan.from_mask",
    "prepare_case": "kits_core.recipe.prepare",
    "read_mask": "kits_core.structures.mask",
    "read_scan": "kits_core.scan.read",
    "read_volume": "kits_core.geometry.volume",
    "score_case": "kits_core.metrics.case",
    "score_frame": "kits_core.metrics.aggregate",
    "segment": "kits_core.inference.predict",
    "summarise": "kits_core.metrics.aggregate",
    "write_phantoms": "kits_core.phantom.dataset",
    "write_volume": "kits_core.geometry.volume",
}
"""Where each public name is defined."""

__all__ = [
    "METRICS",
    "REGIONS",
    "CaseError",
    "KitsError",
    "Label",
    "LabelMap",
    "Plan",
    "PreparedCase",
    "ReadScan",
    "Recipe",
    "Region",
    "Scan",
    "Score",
    "Segmenter",
    "TrainingConfig",
    "Volume",
    "diagonal_mm",
    "find_scans",
    "load_network",
    "make_plan",
    "official_summary",
    "plan_mask",
    "prepare_case",
    "read_mask",
    "read_scan",
    "read_volume",
    "score_case",
    "score_frame",
    "segment",
    "summarise",
    "write_phantoms",
    "write_volume",
]


def __getattr__(name: str) -> Any:
    """A public name, imported now."""
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PLACES[name]), name)


def __dir__() -> list[str]:
    """For the completion of names in a notebook."""
    return sorted({*globals(), *__all__})
