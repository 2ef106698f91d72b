"""The losses: Focal Tversky, and Dice with cross-entropy."""

from typing import Any, Literal

from kits_core.network.backend import keras, ops

_SMOOTH = 1.0  # voxel: keeps an absent class finite, and small against any lesion

Per = Literal["sample", "batch"]


@keras.saving.register_keras_serializable(package="kits")
class FocalTversky(keras.losses.Loss):
    """Mean over classes, and over samples or the batch, of `(1 - TI) ** focus`.

    `TI = (TP + 1) / (TP + miss * FN + false_alarm * FP + 1)` is the Tversky index with soft counts. Salehi et al. 2017
    (arXiv:1706.05721); focal form: Abraham & Khan 2018 (arXiv:1810.07842), whose gamma of 4/3 enters as `1 / gamma`.

    `y_true`: integer labels `(batch, x, y, z, 1)`. `y_pred`: probabilities `(batch, x, y, z, classes)`, class 0 being
    background. The loss is a float32 scalar from 0 to 1.

    Args:
        miss: weight of a missed voxel (alpha of the paper).
        false_alarm: weight of a voxel found where none is (beta).
        focus: exponent; below 1 it lifts the gradient of classes that are nearly right.
        background: whether class 0 counts as a class too.
        per: what is counted together: the voxels of a `sample`, or of the whole `batch`. Scores are means over cases,
            and `sample` weighs cases equally too; over a batch, one large tumour hides the small ones.
    """

    def __init__(
        self,
        miss: float = 0.7,
        false_alarm: float = 0.3,
        focus: float = 0.75,
        *,
        background: bool = False,
        per: Per = "sample",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": "focal_tversky", **kwargs})
        self.miss, self.false_alarm, self.focus, self.background, self.per = miss, false_alarm, focus, background, per

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One value a sample (the same for all of a batch counted together), of which Keras takes the mean."""
        hit, missed, false = _soft_counts(y_true, y_pred, self.per)
        index = (hit + _SMOOTH) / (hit + self.miss * missed + self.false_alarm * false + _SMOOTH)
        # For an exponent below 1 the power's gradient is infinite at 0, and rounding may even make 1 - TI negative.
        shortfall = ops.maximum(1.0 - index[:, _first(self.background) :], keras.config.epsilon())
        return ops.mean(shortfall**self.focus, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments that build the same loss again."""
        return {
            **super().get_config(),
            "miss": self.miss,
            "false_alarm": self.false_alarm,
            "focus": self.focus,
            "background": self.background,
            "per": self.per,
        }


@keras.saving.register_keras_serializable(package="kits")
class DiceCrossEntropy(keras.losses.Loss):
    """`1 - ` soft Dice, mean over classes, plus the voxels' mean cross-entropy: what nnU-Net trains with.

    Soft Dice `(2 TP + 1) / (2 TP + FN + FP + 1)` (Milletari et al. 2016, arXiv:1606.04797). Takes what `FocalTversky`
    takes; float32, from 0 up.

    Args:
        background: whether class 0 counts in the Dice too; in the cross-entropy it always does.
        per: see `FocalTversky`.
    """

    def __init__(self, *, background: bool = False, per: Per = "sample", **kwargs: Any) -> None:
        super().__init__(**{"name": "dice_cross_entropy", **kwargs})
        self.background, self.per = background, per

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One value a sample (the same Dice for all of a batch counted together), of which Keras takes the mean."""
        hit, missed, false = _soft_counts(y_true, y_pred, self.per)
        dice = (2 * hit + _SMOOTH) / (2 * hit + missed + false + _SMOOTH)
        entropy = keras.losses.sparse_categorical_crossentropy(
            ops.squeeze(ops.cast(y_true, "int32"), -1), ops.cast(y_pred, "float32")
        )
        axes = tuple(range(1, len(y_pred.shape) - 1))
        return ops.mean(1.0 - dice[:, _first(self.background) :], axis=-1) + ops.mean(entropy, axis=axes)

    def get_config(self) -> dict[str, Any]:
        """The arguments that build the same loss again."""
        return {**super().get_config(), "background": self.background, "per": self.per}


def _soft_counts(y_true: Any, y_pred: Any, per: Per) -> tuple[Any, Any, Any]:
    """Soft counts of hits, misses and false alarms, float32 `(batch, classes)`, or `(1, classes)` for a whole batch."""
    y_pred = ops.cast(y_pred, "float32")
    truth = ops.one_hot(ops.squeeze(ops.cast(y_true, "int32"), -1), y_pred.shape[-1], dtype="float32")
    axes = tuple(range(0 if per == "batch" else 1, len(y_pred.shape) - 1))
    hit = ops.sum(truth * y_pred, axis=axes)
    missed, false = ops.sum(truth, axis=axes) - hit, ops.sum(y_pred, axis=axes) - hit
    if per == "batch":
        return hit[None], missed[None], false[None]
    return hit, missed, false


def _first(background: bool) -> int:
    return 0 if background else 1
