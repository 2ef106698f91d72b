"""The catalog follows the locks of the home."""

import pytest
from sqlalchemy import select

from db.at_work import CRASHED, OngoingWork, end_dead_rows, flow_run_file, ongoing_work, run_folder, turn_file
from db.engine import catalog_session
from db.models import Evaluation, RunStatus, TrainingRun
from kits_core.at_work import AtWork, hold


def _begin(settings, small):
    """A training and an evaluation that count as running, of the flow runs `train` and `evaluate`."""
    with catalog_session(settings) as session:
        run, evaluation = session.get_one(TrainingRun, small.run), session.get_one(Evaluation, small.evaluation)
        for row, flow_run in ((run, "train"), (evaluation, "evaluate")):
            row.status, row.ended_at, row.flow_run_id = RunStatus.RUNNING, None, flow_run


def _status(settings):
    with catalog_session(settings) as session:
        run, evaluation = session.scalars(select(TrainingRun)).one(), session.scalars(select(Evaluation)).first()
        rows: list[TrainingRun | Evaluation] = [run, evaluation]
        return [(row.status.value, row.ended_at is not None) for row in rows]


def test_rows_that_someone_is_at_stay_and_say_who(settings, small):
    _begin(settings, small)
    said = AtWork.now("train", "from the command line")
    with hold(flow_run_file(settings, "train"), said), hold(turn_file(settings, f"evaluation-{small.evaluation}")):
        assert end_dead_rows(settings, lambda _: False) == []
        with hold(flow_run_file(settings, "prepare"), other := AtWork.now("prepare", "from the dashboard")):
            found = ongoing_work(settings)
    training, scoring = f"run {small.run}", f"evaluation {small.evaluation}"
    assert found == [
        OngoingWork(training, "site", "volume 64 · split 1 · epochs 2", said),
        OngoingWork(scoring, "site", "model 1 · validation", None),
        OngoingWork("prepare", None, "", other),
    ]
    assert _status(settings) == [("running", False), ("running", False)]


@pytest.mark.parametrize("cancelled", [False, True])
def test_rows_that_nobody_is_at_are_ended_once(settings, small, cancelled):
    _begin(settings, small)
    hold(flow_run_file(settings, "train")).close()
    hold(turn_file(settings, f"evaluation-{small.evaluation}")).close()
    asked = []

    def was_cancelled(run):
        asked.append(run)
        return cancelled

    ended = end_dead_rows(settings, was_cancelled)
    assert ended == [f"run {small.run}", f"evaluation {small.evaluation}"]
    assert asked == ["train", "evaluate"]
    assert _status(settings) == [("cancelled" if cancelled else "crashed", True)] * 2
    assert end_dead_rows(settings, lambda _: False) == []
    with catalog_session(settings) as session:
        told = session.get_one(TrainingRun, small.run).error
    assert (told == CRASHED) is not cancelled


def test_a_run_of_a_release_without_such_files_is_known_by_the_lock_of_its_folder(settings, small):
    _begin(settings, small)
    with hold(run_folder(settings, small.run) / "lock"):
        assert end_dead_rows(settings, lambda _: False) == []
    assert end_dead_rows(settings, lambda _: False) == [f"run {small.run}"]


def test_of_rows_whose_locks_are_in_another_home_nothing_is_said(settings, small):
    _begin(settings, small)
    assert end_dead_rows(settings, lambda _: False) == []
    assert [row.what for row in ongoing_work(settings)] == [f"run {small.run}", f"evaluation {small.evaluation}"]


def test_a_row_that_was_taken_up_since_is_left(settings, small):
    _begin(settings, small)
    hold(flow_run_file(settings, "train")).close()

    def taken_up(_):
        with catalog_session(settings) as session:
            session.get_one(TrainingRun, small.run).flow_run_id = "another"
        return False

    assert end_dead_rows(settings, taken_up) == []
    assert _status(settings)[0] == ("running", False)
