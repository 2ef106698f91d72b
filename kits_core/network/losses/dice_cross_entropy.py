"""The sum of Dice loss and cross-entropy."""

from typing import Any

from kits_core.network.backend import keras, ops
from kits_core.network.config import TrainingConfig
from kits_core.network.soft_counts import SMOOTH, Per, first_class, soft_counts


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
        hit, missed, false = soft_counts(y_true, y_pred, self.per)
        dice = (2 * hit + SMOOTH) / (2 * hit + missed + false + SMOOTH)
        entropy = keras.losses.sparse_categorical_crossentropy(
            ops.squeeze(ops.cast(y_true, "int32"), -1), ops.cast(y_pred, "float32")
        )
        axes = tuple(range(1, len(y_pred.shape) - 1))
        return ops.mean(1.0 - dice[:, first_class(self.background) :], axis=-1) + ops.mean(entropy, axis=axes)

    def get_config(self) -> dict[str, Any]:
        """The arguments that build the same loss again."""
        return {**super().get_config(), "background": self.background, "per": self.per}


def loss_of(config: TrainingConfig) -> DiceCrossEntropy:
    """The loss of a configuration."""
    return DiceCrossEntropy(background=config.loss_background, per=config.loss_per)
