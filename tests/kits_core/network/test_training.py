import json
import shutil

import numpy as np
import pytest

from kits_core.errors import KitsError
from kits_core.network import training
from kits_core.network.checkpoint import load_state
from kits_core.network.config import TrainingConfig
from kits_core.network.training import learning_rate, train
from kits_core.recipe.recipe import Recipe

CONFIG = TrainingConfig(epochs=4, batch_size=2, filters=4, learning_rate=3e-3, patience=4)
RECIPE = Recipe(shape=32)


def _train(prepared, folder, config=CONFIG, on_epoch=lambda *_: None, on_step=lambda *_: None):
    return train(
        config,
        RECIPE,
        train_cases=prepared[:4],
        validation_cases=prepared[4:],
        folder=folder,
        on_epoch=on_epoch,
        on_step=on_step,
    )


class Killed(BaseException):
    """Stands for a kill: nothing in the code under test may catch it."""


@pytest.fixture(scope="module")
def unbroken(prepared, tmp_path_factory):
    history, folder = {}, tmp_path_factory.mktemp("unbroken")
    model = _train(prepared, folder, on_epoch=lambda epoch, values: history.update({epoch: dict(values)}))
    return model, history, folder


def _curve(history):
    return {epoch: {k: v for k, v in values.items() if k != "seconds"} for epoch, values in history.items()}


def test_it_learns_and_keeps_the_best_epoch(unbroken):
    model, history, folder = unbroken
    assert list(history) == [1, 2, 3, 4]
    assert history[4]["loss"] < history[1]["loss"]
    assert model.score == max(v["score"] for v in history.values())
    assert history[model.epoch]["score"] == model.score
    assert model.path == folder / "best.keras"


def test_the_configuration_lies_beside_the_result(unbroken):
    folder = unbroken[2]
    assert TrainingConfig.model_validate_json((folder / "config.json").read_text()) == CONFIG
    assert Recipe.model_validate_json((folder / "recipe.json").read_text()) == RECIPE


def test_killed_within_an_epoch_and_started_again_the_curve_is_that_of_the_unbroken_run(unbroken, prepared, tmp_path):
    history = {}

    def kill(step, total, loss):
        if step == 3:
            raise Killed

    record = lambda epoch, values: history.update({epoch: dict(values)})  # noqa: E731
    with pytest.raises(Killed):
        _train(prepared, tmp_path, on_epoch=record, on_step=kill)
    model = _train(prepared, tmp_path, on_epoch=record)
    assert _curve(history) == _curve(unbroken[1])
    assert (model.epoch, model.score) == (unbroken[0].epoch, unbroken[0].score)


def test_killed_before_an_epoch_is_saved_the_epoch_is_done_again(unbroken, prepared, tmp_path):
    def kill(epoch, values):
        if epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        _train(prepared, tmp_path, on_epoch=kill)
    _, progress = load_state(tmp_path / "state")
    assert progress.epoch == 2
    history = {}
    _train(prepared, tmp_path, on_epoch=lambda epoch, values: history.update({epoch: dict(values)}))
    assert _curve(history) == {epoch: v for epoch, v in _curve(unbroken[1]).items() if epoch >= 3}


def test_only_the_last_two_states_are_kept(unbroken):
    names = sorted(p.name for p in (unbroken[2] / "state").iterdir())
    assert names == ["epoch_00003.json", "epoch_00003.keras", "epoch_00004.json", "epoch_00004.keras"]


def test_a_finished_training_is_not_trained_again(unbroken, prepared):
    steps = []
    model = _train(prepared, unbroken[2], on_step=lambda *step: steps.append(step))
    assert not steps
    assert model == unbroken[0]


def test_patience_stops_it(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "validate", lambda *_: {"kidney_dice": 0.5, "tumor_dice": 0.5, "score": 0.5})
    model = _train(prepared, tmp_path, CONFIG.model_copy(update={"patience": 1}))
    assert model.epoch == 1
    assert json.loads((tmp_path / "state" / "epoch_00002.json").read_text())["epoch"] == 2
    assert not (tmp_path / "state" / "epoch_00003.keras").exists()


def test_a_loss_that_is_not_finite_names_epoch_step_and_cases_and_spares_the_last_state(
    unbroken, prepared, tmp_path, monkeypatch
):
    shutil.copytree(unbroken[2], tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "state" / "epoch_00004.keras").read_bytes()

    def poisoned(self, epoch, place, index):
        name, image, labels = original(self, epoch, place, index)
        return name, np.full_like(image, np.nan), labels

    original = training.Loader._sample
    monkeypatch.setattr(training.Loader, "_sample", poisoned)
    with pytest.raises(KitsError, match=r"epoch 5, step 1 \(case_\d{5}, case_\d{5}\): expected a finite loss"):
        _train(prepared, tmp_path, CONFIG.model_copy(update={"epochs": 5, "patience": 5}))
    assert (tmp_path / "state" / "epoch_00004.keras").read_bytes() == before


def test_learning_rate_is_constant_or_falls_along_a_half_cosine():
    assert learning_rate(CONFIG, 4) == 3e-3
    falling = CONFIG.model_copy(update={"epochs": 5, "final_learning_rate": 1e-3})
    assert [learning_rate(falling, epoch) for epoch in (1, 3, 5)] == pytest.approx([3e-3, 2e-3, 1e-3])
