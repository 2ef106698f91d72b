"""The Focal Tversky loss."""

from typing import Any

from kits_core.network.backend import keras, ops

_SMOOTH = 1.0  # voxel: keeps an absent class finite, and small against any lesion


@keras.saving.register_keras_serializable(package="kits")
class FocalTversky(keras.losses.Loss):
    """Mean over samples and foreground classes of `(1 - TI) ** focus`, each over the voxels of one sample.

    `TI = (TP + 1) / (TP + miss * FN + false_alarm * FP + 1)` is the Tversky index with soft counts. Salehi et al. 2017
    (arXiv:1706.05721); focal form: Abraham & Khan 2018 (arXiv:1810.07842), whose gamma of 4/3 enters as `1 / gamma`.

    `y_true`: integer labels `(batch, x, y, z, 1)`. `y_pred`: probabilities `(batch, x, y, z, classes)`, class 0 being
    background, which is left out. The loss is a float32 scalar from 0 to 1. Scores are means over cases, so that is
    what the loss weighs too: counted over a batch, one large tumour would hide the small ones.

    Args:
        miss: weight of a missed voxel (alpha of the paper).
        false_alarm: weight of a voxel found where none is (beta).
        focus: exponent; below 1 it lifts the gradient of classes that are nearly right.
    """

    def __init__(
        self,
        miss: float = 0.7,
        false_alarm: float = 0.3,
        focus: float = 0.75,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": "focal_tversky", **kwargs})
        self.miss, self.false_alarm, self.focus = miss, false_alarm, focus

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One value a sample, of which Keras takes the mean; see the class."""
        y_pred = ops.cast(y_pred, "float32")
        truth = ops.one_hot(ops.squeeze(ops.cast(y_true, "int32"), -1), y_pred.shape[-1], dtype="float32")
        axes = tuple(range(1, len(y_pred.shape) - 1))
        hit = ops.sum(truth * y_pred, axis=axes)
        missed = ops.sum(truth, axis=axes) - hit
        false = ops.sum(y_pred, axis=axes) - hit
        index = (hit + _SMOOTH) / (hit + self.miss * missed + self.false_alarm * false + _SMOOTH)
        # The power's gradient is infinite at 0 for an exponent below 1; rounding may even take 1 - TI below it.
        shortfall = ops.maximum(1.0 - index[:, 1:], keras.config.epsilon())
        return ops.mean(shortfall**self.focus, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments that build the same loss again."""
        return {
            **super().get_config(),
            "miss": self.miss,
            "false_alarm": self.false_alarm,
            "focus": self.focus,
        }
