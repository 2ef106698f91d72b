import keras
import numpy as np
import pytest
from keras import ops

from kits_core.network.losses.dice_cross_entropy import DiceCrossEntropy
from kits_core.network.losses.focal_tversky import FocalTversky


def _pair(truth, prediction):
    """Labels and probabilities of a row of voxels; `prediction` gives each voxel's probabilities."""
    y_true = np.array(truth, np.uint8).reshape(1, -1, 1, 1, 1)
    return y_true, np.array(prediction, np.float32).reshape(1, len(truth), 1, 1, -1)


def test_by_hand():
    y_true, y_pred = _pair([0, 1, 1, 2], [[0.6, 0.4, 0.0], [0.2, 0.8, 0.0], [0.5, 0.5, 0.0], [0.1, 0.0, 0.9]])
    kidney = (1.3 + 1) / (1.3 + 0.7 * 0.7 + 0.3 * 0.4 + 1)  # hit 1.3, missed 0.7, false 0.4
    tumor = (0.9 + 1) / (0.9 + 0.7 * 0.1 + 0 + 1)
    expected = ((1 - kidney) ** 0.75 + (1 - tumor) ** 0.75) / 2
    assert float(FocalTversky()(y_true, y_pred)) == pytest.approx(expected, rel=1e-5)


def test_by_hand_with_the_background_over_a_batch():
    y_true = np.array([[0, 1], [1, 1]], np.uint8).reshape(2, 2, 1, 1, 1)
    y_pred = np.array([[[0.9, 0.1], [0.4, 0.6]], [[0.2, 0.8], [0.3, 0.7]]], np.float32).reshape(2, 2, 1, 1, 2)
    background = (0.9 + 1) / (0.9 + 0.6 * 0.1 + 0.4 * (0.4 + 0.2 + 0.3) + 1)
    kidney = (2.1 + 1) / (2.1 + 0.6 * 0.9 + 0.4 * 0.1 + 1)
    loss = FocalTversky(miss=0.6, false_alarm=0.4, focus=1.0, background=True, per="batch")
    assert float(loss(y_true, y_pred)) == pytest.approx(1 - (background + kidney) / 2, rel=1e-5)


def test_dice_and_cross_entropy_by_hand():
    y_true, y_pred = _pair([0, 1, 1], [[0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    dice = (2 * 1.3 + 1) / (2 * 1.3 + 0.7 + 0.4 + 1)
    entropy = -np.log([0.6, 0.8, 0.5]).mean()
    assert float(DiceCrossEntropy()(y_true, y_pred)) == pytest.approx(1 - dice + entropy, rel=1e-5)
    both = (2 * 0.6 + 1) / (2 * 0.6 + 0.4 + 0.7 + 1)
    loss = DiceCrossEntropy(background=True, per="batch")
    assert float(loss(y_true, y_pred)) == pytest.approx(1 - (dice + both) / 2 + entropy, rel=1e-5)


@pytest.mark.parametrize("loss", [FocalTversky(), FocalTversky(per="batch"), DiceCrossEntropy()], ids=lambda x: x.name)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_false_alarms_of_an_absent_class_are_pushed_down(loss, dtype):
    """By the loss's change along the direction that lowers them, in every precision."""
    y_true, _ = _pair([0] * 64, [[1, 0]] * 64)
    high, low = (_pair([0] * 64, [[1 - p, p]] * 64)[1] for p in (0.25, 0.125))
    values = [float(loss(y_true, ops.cast(ops.convert_to_tensor(y), dtype))) for y in (high, low)]
    assert np.isfinite(values).all()
    assert values[1] < values[0]


def test_a_batch_is_the_mean_of_its_samples():
    one = _pair([0, 1, 1], [[1, 0], [0.2, 0.8], [0.6, 0.4]])
    two = _pair([1, 0, 0], [[0.7, 0.3], [0.9, 0.1], [1, 0]])
    both = np.concatenate([one[0], two[0]]), np.concatenate([one[1], two[1]])
    loss = FocalTversky()
    assert float(loss(*both)) == pytest.approx((float(loss(*one)) + float(loss(*two))) / 2, rel=1e-5)


def test_a_miss_costs_more_than_a_false_alarm():
    miss = FocalTversky()(*_pair([1, 1, 0, 0], [[1, 0], [0, 1], [1, 0], [1, 0]]))
    alarm = FocalTversky()(*_pair([1, 1, 0, 0], [[0, 1], [0, 1], [0, 1], [1, 0]]))
    assert float(miss) > float(alarm)


def test_perfect_is_near_zero_and_wrong_near_one():
    perfect = _pair([0, 1] * 500, [[1, 0], [0, 1]] * 500)
    wrong = _pair([0, 1] * 500, [[0, 1], [1, 0]] * 500)
    assert float(FocalTversky()(*perfect)) < 1e-4
    assert float(FocalTversky()(*wrong)) > 0.99


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_finite_with_an_absent_class_in_any_precision(dtype):
    y_true, y_pred = _pair([0, 1, 1, 0], [[0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.1, 0.9, 0.0], [1.0, 0.0, 0.0]])
    loss = FocalTversky()(y_true, ops.cast(ops.convert_to_tensor(y_pred), dtype))
    assert np.isfinite(float(loss))


def test_training_on_it_moves_a_class_that_is_perfect_or_absent_without_a_nan():
    logits = keras.layers.Dense(3, activation="softmax")
    model = keras.Sequential([keras.Input((4, 1, 1, 2)), logits])
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss=FocalTversky(), jit_compile=False)
    x = np.random.default_rng(0).normal(size=(2, 4, 1, 1, 2)).astype(np.float32)
    y = np.zeros((2, 4, 1, 1, 1), np.uint8)
    losses = [float(model.train_on_batch(x, y)) for _ in range(20)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_its_settings_survive_a_round_trip():
    for loss in (
        FocalTversky(miss=0.6, false_alarm=0.4, focus=1.5, background=True, per="batch"),
        DiceCrossEntropy(background=True, per="batch"),
    ):
        assert keras.losses.deserialize(keras.losses.serialize(loss)).get_config() == loss.get_config()
