"""Settings of a training that go together, under a name. How they were found: docs/benchmarks.md."""

from collections.abc import Mapping
from typing import Any, Literal

from kits_core.network.config import TrainingConfig

Preset = Literal["reference", "strong"]

PRESETS: dict[str, dict[str, Any]] = {
    "reference": {},
    "strong": {
        "batch_size": 2,
        "learning_rate": 3e-3,
        "final_learning_rate": 3e-5,
        "filters": 32,
        "normalisation": "instance",
        "deep_supervision": True,
        "loss": "dice_cross_entropy",
        "patience": 10_000,  # a falling step size that is stopped early has not done its work
    },
}
"""`reference`: the defaults, which are a published recipe's. `strong`: learnt both classes better in the same time."""


def with_preset(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's settings, and over them those that were chosen one by one."""
    return {**PRESETS[name], **settings}


def chosen(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings of a filled form that differ from the defaults: a form sends every field that it shows."""
    fields = TrainingConfig.model_fields
    return {name: value for name, value in settings.items() if value != fields[name].default}
