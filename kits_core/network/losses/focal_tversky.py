"""The Focal Tversky loss."""

from typing import Any

from kits_core.network.backend import keras, ops
from kits_core.network.config import TrainingConfig
from kits_core.network.soft_counts import SMOOTH, Per, first_class, soft_counts


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
        hit, missed, false = soft_counts(y_true, y_pred, self.per)
        index = (hit + SMOOTH) / (hit + self.miss * missed + self.false_alarm * false + SMOOTH)
        # For an exponent below 1 the power's gradient is infinite at 0, and rounding may even make 1 - TI negative.
        shortfall = ops.maximum(1.0 - index[:, first_class(self.background) :], keras.config.epsilon())
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


def loss_of(config: TrainingConfig) -> FocalTversky:
    """The loss of a configuration."""
    weights = config.miss_weight, config.false_alarm_weight, config.focus
    return FocalTversky(*weights, background=config.loss_background, per=config.loss_per)
