"""Soft counts of voxels, from which losses are made."""

from typing import Any, Literal

from kits_core.network.backend import ops

SMOOTH = 1.0
"""Voxels: keeps the index of an absent class finite, and is small against any lesion."""

Per = Literal["sample", "batch"]


def soft_counts(y_true: Any, y_pred: Any, per: Per) -> tuple[Any, Any, Any]:
    """Soft counts of hits, misses and false alarms, float32 `(batch, classes)`, or `(1, classes)` for a whole batch."""
    y_pred = ops.cast(y_pred, "float32")
    truth = ops.one_hot(ops.squeeze(ops.cast(y_true, "int32"), -1), y_pred.shape[-1], dtype="float32")
    axes = tuple(range(0 if per == "batch" else 1, len(y_pred.shape) - 1))
    hit = ops.sum(truth * y_pred, axis=axes)
    missed, false = ops.sum(truth, axis=axes) - hit, ops.sum(y_pred, axis=axes) - hit
    if per == "batch":
        return hit[None], missed[None], false[None]
    return hit, missed, false


def first_class(background: bool) -> int:
    """The first class that counts."""
    return 0 if background else 1
