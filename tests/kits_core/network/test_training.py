import fcntl
import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from kits_core import disk
from kits_core.errors import KitsError
from kits_core.network import machine, saving, training
from kits_core.network.augment import augmented
from kits_core.network.checkpoint import load_network, load_state
from kits_core.network.config import TrainingConfig
from kits_core.network.loader import Loader
from kits_core.network.machine import choose_policy
from kits_core.network.saving import begin_from
from kits_core.network.steps import Steps, steps_of
from kits_core.network.training import alone_in, build_model, learning_rate, selected_cases, train
from kits_core.network.validation import Validator
from kits_core.recipe.recipe import Recipe

CONFIG = TrainingConfig(epochs=4, batch_size=2, filters=4, learning_rate=3e-3, final_learning_rate=2e-3, patience=4)
RECIPE = Recipe(shape=32)
SIXTEEN_BITS = pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="TensorFlow's 16-bit convolutions on a CPU are not finite"
)


class _Told:
    """A watcher that calls what it is given, and keeps budgets and notes."""

    def __init__(self, on_epoch=lambda *_: None, on_step=lambda *_: None, on_validated=lambda *_: None):
        self.epoch, self.step, self.validated = on_epoch, on_step, on_validated
        self.budgets, self.notes = [], []

    def budget(self, budget):
        self.budgets.append(budget)

    def note(self, text):
        self.notes.append(text)

    def resumed(self, history):
        self.history = list(history)


def _train(prepared, folder, config=CONFIG, watcher=None, base=None, **told):
    return train(
        config,
        RECIPE,
        train_cases=prepared[:4],
        validation_cases=prepared[4:],
        folder=folder,
        watcher=watcher or _Told(**told),
        base=base,
    )


class Killed(BaseException):
    """Stands for a kill: nothing in the code under test may catch it."""


@pytest.fixture(scope="module")
def unbroken(prepared, tmp_path_factory):
    history, folder = {}, tmp_path_factory.mktemp("unbroken")
    model = _train(prepared, folder, on_epoch=lambda epoch, values: history.update({epoch: dict(values)}))
    return model, history, folder


def _curve(history):
    return {e: {k: v for k, v in values.items() if not k.endswith("seconds")} for e, values in history.items()}


def test_it_learns_and_keeps_the_best_epoch_and_not_the_last(unbroken, prepared):
    model, history, folder = unbroken
    assert list(history) == [1, 2, 3, 4]
    assert history[4]["loss"] < history[1]["loss"]
    assert model.score == max(v["score"] for v in history.values())
    assert history[model.epoch]["score"] == model.score
    assert model.path == folder / f"best_epoch_{model.epoch:05d}.keras"
    assert len(list(folder.glob("best_epoch_*"))) == 1
    network = load_network(model.path)
    scores = Validator(network, prepared[4:], RECIPE).scores()
    assert scores["score"] == pytest.approx(model.score, abs=1e-6)


def test_adams_variables_are_made_before_the_first_step_which_is_traced_once_then(monkeypatch):
    model = build_model(CONFIG, RECIPE)
    assert model.optimizer.built
    traced, original = [], Steps._loss_on

    def loss_on(*given):
        traced.append(1)
        return original(*given)

    monkeypatch.setattr(Steps, "_loss_on", loss_on)
    steps, image = steps_of(model, CONFIG), keras.ops.zeros((2, 32, 32, 32, 1))
    for _ in range(2):
        steps.begin()
        for _ in range(2):
            steps.step(image, keras.ops.cast(image, "uint8"))
        steps.end()
    assert len(traced) == 1


def test_the_configuration_lies_beside_the_result(unbroken):
    folder = unbroken[2]
    assert TrainingConfig.from_stored(json.loads((folder / "config.json").read_text())) == CONFIG
    assert Recipe.from_stored(json.loads((folder / "recipe.json").read_text())) == RECIPE


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


def test_a_call_that_goes_on_tells_what_was_done_before(unbroken, prepared, tmp_path):
    shutil.copytree(unbroken[2], tmp_path, dirs_exist_ok=True)
    watcher = _Told()
    _train(prepared, tmp_path, watcher=watcher)
    assert watcher.history == [unbroken[1][epoch] for epoch in (1, 2, 3, 4)]


def test_killed_before_an_epoch_is_saved_the_epoch_is_done_again(unbroken, prepared, tmp_path):
    def kill(epoch, values):
        if epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        _train(prepared, tmp_path, on_epoch=kill)
    _, progress = load_state(tmp_path / "state", pytest.fail)
    assert progress.epoch == 2
    history = {}
    _train(prepared, tmp_path, on_epoch=lambda epoch, values: history.update({epoch: dict(values)}))
    assert _curve(history) == {epoch: v for epoch, v in _curve(unbroken[1]).items() if epoch >= 3}


def test_what_a_kill_left_half_written_is_no_state(unbroken, tmp_path):
    shutil.copytree(unbroken[2], tmp_path, dirs_exist_ok=True)
    torn = tmp_path / "state" / "epoch_00005.keras.4711.partial.keras"
    torn.write_bytes(b"half")
    _, progress = load_state(tmp_path / "state", pytest.fail)
    assert progress.epoch == 4
    assert not torn.exists()


def test_a_state_whose_progress_cannot_be_read_is_left_out(unbroken, tmp_path):
    shutil.copytree(unbroken[2] / "state", tmp_path, dirs_exist_ok=True)
    (tmp_path / "epoch_00004.json").write_text('{"epoch": 4, "what": 1}')
    notes = []
    _, progress = load_state(tmp_path, notes.append)
    assert progress.epoch == 3
    assert "epoch_00004.keras cannot be read (TypeError" in notes[0]


def test_from_a_damaged_state_it_goes_back_to_the_one_before_and_comes_to_the_same(unbroken, prepared, tmp_path):
    model, history, folder = unbroken
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for best in tmp_path.glob("best_epoch_*"):
        best.unlink()
    before = json.loads((folder / "state" / "epoch_00003.json").read_text())
    epoch_4 = (tmp_path / "state" / "epoch_00004.keras").read_bytes()
    (tmp_path / "state" / "epoch_00004.keras").write_bytes(b"damaged")
    best = tmp_path / f"best_epoch_{before['best_epoch']:05d}.keras"
    best.write_bytes(b"stands for the best of three epochs")
    watcher, seen = _Told(), {}
    watcher.epoch = lambda epoch, values: seen.update({epoch: dict(values)})
    again = _train(prepared, tmp_path, watcher=watcher)
    assert _curve(seen) == {4: _curve(history)[4]}
    assert (again.epoch, again.score) == (model.epoch, model.score)
    assert "epoch_00004.keras cannot be read" in watcher.notes[0]
    restored = load_state(tmp_path / "state", pytest.fail)[0]
    (tmp_path / "whole.keras").write_bytes(epoch_4)
    for found, expected in zip(
        restored.get_weights(), load_network(tmp_path / "whole.keras").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_the_best_of_the_state_before_is_kept_too(prepared, tmp_path, monkeypatch):
    scores = iter([0.5, 0.6, 0.7])
    monkeypatch.setattr(Validator, "scores", lambda *_: {"kidney_dice": 0, "tumor_dice": 0, "score": next(scores)})
    names = lambda: sorted(path.name for path in tmp_path.glob("best_epoch_*"))  # noqa: E731
    found = {}
    with pytest.raises(Killed):
        _train(prepared, tmp_path, on_step=lambda step, *_: found.update({step: names()}) or _kill_at(step, 7))
    assert found[3] == ["best_epoch_00001.keras"]
    assert found[5] == ["best_epoch_00001.keras", "best_epoch_00002.keras"]
    assert found[7] == ["best_epoch_00002.keras", "best_epoch_00003.keras"]


def _kill_at(step, last):
    if step == last:
        raise Killed


def test_states_that_cannot_be_read_and_a_best_epoch_that_is_gone_are_said_with_the_way_out(
    unbroken, prepared, tmp_path
):
    shutil.copytree(unbroken[2], tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("best_epoch_*"):
        path.unlink()
    for path in (tmp_path / "state").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"best_epoch": 1}))
    with pytest.raises(KitsError, match=r"best_epoch_00001.keras: expected the best epoch so far, got no file; put it"):
        _train(prepared, tmp_path)
    for path in (tmp_path / "state").glob("*.keras"):
        path.write_bytes(b"")
    with pytest.raises(
        KitsError, match="expected the state of an epoch, got 2 that cannot be read; delete this folder"
    ):
        _train(prepared, tmp_path)


def test_a_state_of_another_precision_is_not_gone_on_with(unbroken, prepared, tmp_path):
    shutil.copytree(unbroken[2], tmp_path, dirs_exist_ok=True)
    model, steps = build_model(CONFIG, RECIPE, "mixed_bfloat16"), []
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "state" / "epoch_00004.keras")
    with pytest.raises(KitsError, match="expected to go on in mixed_bfloat16, as it was begun, got the device cpu"):
        _train(prepared, tmp_path, on_step=lambda *step: steps.append(step))
    assert not steps


def test_validation_is_told_case_by_case_and_may_be_ended(prepared, tmp_path):
    told = []

    def end(cases, of):
        told.append((cases, of))
        if cases == 2:
            raise Killed

    with pytest.raises(Killed):
        _train(prepared, tmp_path, on_validated=end)
    assert told == [(1, len(prepared) - 4), (2, len(prepared) - 4)]
    assert not (tmp_path / "state").exists()


def test_killed_between_a_state_and_its_second_name_the_best_is_kept(unbroken, prepared, tmp_path):
    shutil.copytree(unbroken[2], tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("best_epoch_*"):
        path.unlink()
    newest = json.loads((tmp_path / "state" / "epoch_00004.json").read_text())
    newest |= {"best_epoch": 4, "best_score": 0.99}
    (tmp_path / "state" / "epoch_00004.json").write_text(json.dumps(newest))
    model = _train(prepared, tmp_path)
    assert (model.epoch, model.score) == (4, 0.99)
    assert model.path.read_bytes() == (tmp_path / "state" / "epoch_00004.keras").read_bytes()


def test_it_begins_with_the_weights_of_another_network_and_killed_it_does_so_again(unbroken, prepared, tmp_path):
    def kill(*_):
        raise Killed

    def curve(folder, **told):
        model = _train(prepared, folder, tuned, base=unbroken[0].path, **told)
        return model, json.loads((folder / "state" / "epoch_00002.json").read_text())["history"]

    tuned = CONFIG.model_copy(update={"epochs": 2, "seed": 5, "learning_rate": 1e-9, "final_learning_rate": None})
    with pytest.raises(Killed):
        curve(tmp_path / "killed", on_step=kill)
    (model, history), (_, again) = curve(tmp_path / "tuned"), curve(tmp_path / "killed")
    # With next to no step, its weights are still those that it began with; only running means have moved.
    base, ours = load_network(unbroken[0].path), load_network(model.path)
    for mine, its in zip(ours.trainable_variables, base.trainable_variables, strict=True):
        assert np.allclose(mine, its, atol=1e-6)
    assert history[0]["loss"] < unbroken[1][1]["loss"]
    assert [{**one, "seconds": 0, "step_seconds": 0} for one in history] == [
        {**one, "seconds": 0, "step_seconds": 0} for one in again
    ]


def test_weights_of_another_network_are_refused(unbroken, prepared, tmp_path):
    with pytest.raises(KitsError, match=r"expected a network of \d+ arrays of weights, shaped as"):
        _train(prepared, tmp_path, CONFIG.model_copy(update={"filters": 8}), base=unbroken[0].path)


def test_two_processes_do_not_train_the_same_run(tmp_path):
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(KitsError, match="expected no one else to train it, got another"), alone_in(tmp_path):
            pass
    with alone_in(tmp_path):
        pass


def test_only_the_last_two_states_are_kept(unbroken):
    names = sorted(p.name for p in (unbroken[2] / "state").iterdir())
    assert names == ["epoch_00003.json", "epoch_00003.keras", "epoch_00004.json", "epoch_00004.keras"]


def test_a_finished_training_is_not_trained_again(unbroken, prepared):
    steps = []
    model = _train(prepared, unbroken[2], on_step=lambda *step: steps.append(step))
    assert not steps
    assert model == unbroken[0]


def test_patience_stops_it_and_the_budget_came_after_three_steps(prepared, tmp_path, monkeypatch):
    same = {"kidney_dice": 0.5, "tumor_dice": 0.5, "score": 0.5}
    monkeypatch.setattr(Validator, "scores", lambda *_: same)
    watcher = _Told()
    model = _train(prepared, tmp_path, CONFIG.model_copy(update={"patience": 1}), watcher)
    assert model.epoch == 1
    assert json.loads((tmp_path / "state" / "epoch_00002.json").read_text())["epoch"] == 2
    assert not (tmp_path / "state" / "epoch_00003.keras").exists()
    (budget,) = watcher.budgets
    assert budget.steps == 5  # of 4 epochs of 2 steps
    assert budget.seconds == pytest.approx(5 * budget.seconds_a_step)
    assert 0 < budget.seconds_a_step < 60
    assert budget.peak_bytes > 1e8
    assert budget.disk_bytes == 5 * 12 * model.parameters
    assert budget.free_disk_bytes > budget.disk_bytes
    assert (budget.device, budget.policy) == ("cpu", "float32")


def test_a_loss_that_is_not_finite_names_epoch_step_and_cases_and_spares_the_last_state(
    unbroken, prepared, tmp_path, monkeypatch
):
    shutil.copytree(unbroken[2], tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "state" / "epoch_00004.keras").read_bytes()

    def poisoned(batch, recipe):
        images, labels = augmented(batch, recipe)
        return images * np.nan, labels

    monkeypatch.setattr(training, "augmented", poisoned)
    with pytest.raises(KitsError, match=r"epoch 5, step 1 \(case_\d{5}, case_\d{5}\): expected a finite loss"):
        _train(prepared, tmp_path, CONFIG.model_copy(update={"epochs": 5, "patience": 5}))
    assert (tmp_path / "state" / "epoch_00004.keras").read_bytes() == before


def test_weights_that_are_not_finite_are_no_state(prepared, tmp_path, monkeypatch):
    def end(self):
        original(self)
        done.append(self)
        if len(done) == 2:  # after the last step of the second epoch: no loss will tell
            kernel = self._model.get_layer("stem_conv").kernel
            kernel.assign(kernel * np.nan)

    steps = type(steps_of(build_model(CONFIG, RECIPE), CONFIG))
    done, original = [], steps.end
    monkeypatch.setattr(steps, "end", end)
    with pytest.raises(KitsError, match="epoch 2, last step: expected finite weights, got others"):
        _train(prepared, tmp_path)
    model, progress = load_state(tmp_path / "state", pytest.fail)
    assert progress.epoch == 1
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_learning_rate_is_constant_or_falls_along_a_half_cosine():
    assert learning_rate(CONFIG.model_copy(update={"final_learning_rate": None}), 4) == 3e-3
    falling = CONFIG.model_copy(update={"epochs": 5, "final_learning_rate": 1e-3})
    assert [learning_rate(falling, epoch) for epoch in (1, 3, 5)] == pytest.approx([3e-3, 2e-3, 1e-3])


def test_with_epochs_of_decay_it_is_constant_before_and_falls_in_them():
    config = CONFIG.model_copy(update={"epochs": 6, "final_learning_rate": 1e-3, "decay_epochs": 2})
    assert config.stable_epochs == 4
    assert [learning_rate(config, epoch) for epoch in range(1, 7)] == pytest.approx([3e-3] * 4 + [2e-3, 1e-3])
    whole = CONFIG.model_copy(update={"epochs": 2, "final_learning_rate": 1e-3, "decay_epochs": 2})
    assert [learning_rate(whole, epoch) for epoch in (1, 2)] == pytest.approx([3e-3, 1e-3])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"decay_epochs": 2}, "decay_epochs goes with final_learning_rate"),
        ({"decay_epochs": 51, "final_learning_rate": 1e-5}, "must not be more than epochs 50, got 51"),
    ],
)
def test_a_decay_that_does_not_fit_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        TrainingConfig(**settings)


@pytest.mark.parametrize("final", [None, 1e-3])
def test_extended_its_curve_is_that_of_a_training_that_was_as_long_from_the_start(prepared, tmp_path, final):
    decay = {"final_learning_rate": final, "decay_epochs": 1 if final else None}
    short = CONFIG.model_copy(update={"epochs": 2, **decay})
    long = short.model_copy(update={"epochs": 3})
    curves = {"whole": {}, "extended": {}}
    _train(prepared, tmp_path / "short", short)
    _train(prepared, tmp_path / "whole", long, on_epoch=lambda epoch, v: curves["whole"].update({epoch: dict(v)}))
    (tmp_path / "extended").mkdir()
    assert begin_from(tmp_path / "extended", tmp_path / "short", constant=final is None) == (1 if final else 2)
    assert begin_from(tmp_path / "extended", tmp_path / "short", constant=final is None) == 0
    watcher = _Told(on_epoch=lambda epoch, v: curves["extended"].update({epoch: dict(v)}))
    extended = _train(prepared, tmp_path / "extended", long, watcher=watcher)
    again = _curve(dict(enumerate(watcher.history, start=1)) | curves["extended"])
    assert again == _curve(curves["whole"])
    assert len(curves["extended"]) == (2 if final else 1)
    assert extended.path.exists()
    assert not list(tmp_path.rglob("*.partial*"))


def test_killed_before_the_last_stable_state_is_kept_the_next_call_keeps_it(prepared, tmp_path, monkeypatch):
    config = CONFIG.model_copy(update={"epochs": 2, "final_learning_rate": 1e-3, "decay_epochs": 1})

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(saving, "_keep", kill)
        _train(prepared, tmp_path, config)
    assert not (tmp_path / "stable").exists()
    _train(prepared, tmp_path, config)
    assert [path.name for path in (tmp_path / "stable" / "state").glob("*.keras")] == ["epoch_00001.keras"]


def test_a_training_without_a_stable_state_is_not_extended(unbroken, tmp_path):
    with pytest.raises(KitsError, match="expected the state of its last epoch with a constant step size, got none in"):
        begin_from(tmp_path, unbroken[2], constant=False)


class _Learner:
    """Steps on one batch, without compiling them: that takes longer than a few steps of the whole network."""

    def __init__(self, config, prepared):
        self.model = build_model(config, RECIPE, choose_policy(config.precision, "cpu"))
        self.model.run_eagerly = keras.backend.backend() == "tensorflow"
        self._steps = steps_of(self.model, config)
        self._batch = augmented(next(Loader(prepared[:4], RECIPE, 4, seed=1).epoch(1)), RECIPE)

    def losses(self, count):
        self._steps.begin()
        found = [np.mean([float(part) for part in self._steps.step(*self._batch)]) for _ in range(count)]
        self._steps.end()
        return found


def test_parts_of_a_batch_add_up_to_it(prepared):
    config = CONFIG.model_copy(update={"batch_size": 4, "normalisation": "instance"})
    whole, parts = _Learner(config, prepared), _Learner(config.model_copy(update={"micro_batch": 1}), prepared)
    before = whole.model.get_weights()
    assert parts.losses(1) == pytest.approx(whole.losses(1), abs=1e-4)
    # Adam's first step is the gradient's sign; where that is nearly zero, rounding decides it.
    moved = np.concatenate([(b - a).ravel() for a, b in zip(before, whole.model.get_weights(), strict=True)])
    alike = np.concatenate([(b - a).ravel() for a, b in zip(before, parts.model.get_weights(), strict=True)])
    assert np.abs(moved).mean() > 1e-4
    assert np.corrcoef(moved, alike)[0, 1] > 0.98


def test_parts_that_do_not_make_a_batch_are_refused():
    with pytest.raises(ValueError, match="micro_batch must divide batch_size 8, got 3"):
        TrainingConfig(micro_batch=3)


@pytest.mark.parametrize(
    "settings",
    [
        {"normalisation": "group", "deep_supervision": True},
        {"loss": "dice_cross_entropy", "loss_per": "batch", "loss_background": True},
        pytest.param({"precision": "bfloat16"}, marks=SIXTEEN_BITS),
        pytest.param({"precision": "float16", "normalisation": "instance"}, marks=SIXTEEN_BITS),
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_every_setting_learns(prepared, settings):
    losses = _Learner(TrainingConfig(**CONFIG.model_dump() | {"batch_size": 4} | settings), prepared).losses(6)
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_a_gpu_that_is_not_there_is_an_error_and_not_a_silent_cpu(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "find_gpus", list)
    with pytest.raises(KitsError, match=r"device gpu: expected a graphics card .* got none"):
        _train(prepared, tmp_path, CONFIG.model_copy(update={"device": "gpu"}))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX computes in 16 bits on a CPU too")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_sixteen_bits_under_tensorflow_on_a_cpu_are_refused(prepared, tmp_path, precision):
    config = CONFIG.model_copy(update={"precision": precision, "device": "cpu"})
    with pytest.raises(KitsError, match=f"precision {precision}: expected float32 under TensorFlow on a CPU"):
        _train(prepared, tmp_path, config)


def test_memory_that_runs_out_says_what_to_lower(prepared, tmp_path, monkeypatch):
    def exhausted(*_):
        raise MemoryError("RESOURCE_EXHAUSTED: out of memory allocating 9 bytes")

    monkeypatch.setattr(training, "build_model", exhausted)
    with pytest.raises(KitsError, match=r"memory of the cpu, got: RESOURCE_EXHAUSTED.*; lower micro_batch \(now 2\)"):
        _train(prepared, tmp_path)


@pytest.mark.parametrize(
    ("error", "at_once", "said"),
    [
        (MemoryError(), 2, r"got: MemoryError; lower micro_batch \(now 2\): gradients add up to the batch of 2$"),
        (MemoryError("out of memory"), 1, "got: out of memory; lower filters or the shape$"),
    ],
)
def test_memory_that_runs_out_without_a_word_is_said_too(error, at_once, said):
    with (
        pytest.raises(KitsError, match=said),
        machine.running_on("cpu", CONFIG.model_copy(update={"micro_batch": at_once})),
    ):
        raise error


def test_float16_takes_whole_batches(monkeypatch):
    old = type("Card", (), {"capability": (7, 5)})
    monkeypatch.setattr(machine, "find_gpus", lambda: [old])
    assert choose_policy("auto", "gpu") == "mixed_float16"
    assert choose_policy("auto", "gpu", whole_batches=False) == "float32"
    with pytest.raises(KitsError, match="precision float16: expected whole batches in memory, got a micro_batch"):
        choose_policy("float16", "gpu", whole_batches=False)


def test_what_is_there_already_needs_no_room(unbroken, prepared, tmp_path, monkeypatch):
    shutil.copytree(unbroken[2], tmp_path, dirs_exist_ok=True)
    there = sum(path.stat().st_size for path in tmp_path.rglob("*.keras"))
    needed = 5 * 12 * unbroken[0].parameters - there + disk.RESERVE_BYTES
    usage, more = shutil.disk_usage(tmp_path), CONFIG.model_copy(update={"epochs": CONFIG.epochs + 1})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed - 1))
    with pytest.raises(KitsError, match=r"expected room for checkpoints .*make room"):
        _train(prepared, tmp_path, more)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed))
    assert _train(prepared, tmp_path, more).score >= unbroken[0].score


def test_a_full_disk_is_said_before_the_first_step(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr("kits_core.disk.free_bytes", lambda _: 1000)
    steps = []
    with pytest.raises(KitsError, match=r"room for checkpoints \(.* got .* free; make room"):
        _train(prepared, tmp_path, on_step=lambda *step: steps.append(step))
    assert not steps


def test_a_seeded_subset_of_the_validation_cases_may_choose_the_epoch(prepared):
    chosen = [selected_cases(prepared, CONFIG.model_copy(update={"selection_cases": n})) for n in (3, 3, 99)]
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 3
    assert chosen[2] == prepared


def test_what_lies_outside_the_grid_counts_as_missed(prepared, unbroken):
    network = load_network(unbroken[0].path)
    inside = Validator(network, prepared[:1], RECIPE).scores()
    half = Validator(network, [replace(prepared[0], kidney_kept=0.5)], RECIPE).scores()
    assert half["kidney_dice"] < inside["kidney_dice"]
    assert half["tumor_dice"] == inside["tumor_dice"]
    assert Validator(network, [replace(prepared[0], tumor_kept=0.0)], RECIPE).scores()["tumor_dice"] == 0


class Touch(keras.layers.Layer):
    """A stranger's layer, which writes a file wherever it is built."""

    def __init__(self, file, **named):
        super().__init__(**named)
        self.file = file
        Path(file).touch()

    def get_config(self):
        return super().get_config() | {"file": self.file}


def _lambda(file):
    return keras.layers.Lambda(lambda x: open(file, "w") and x, output_shape=(4,))  # noqa: PTH123


@pytest.mark.parametrize("make", [_lambda, Touch, lambda _: keras.layers.Dense(4)], ids=["lambda", "layer", "dense"])
def test_a_model_of_strangers_is_refused_and_none_of_its_code_runs(tmp_path, make):
    ran = tmp_path / "ran"
    model = keras.Sequential([keras.Input((4,)), make(str(ran))])
    model.save(tmp_path / "model.keras")
    ran.unlink(missing_ok=True)
    with pytest.raises(KitsError, match=r"model.keras: expected a network that kits train has left, got .*; put"):
        load_network(tmp_path / "model.keras")
    assert not ran.exists()
