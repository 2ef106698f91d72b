from sqlalchemy import func, select

from db.models import Measurement, Model, Prediction, PredictionModel, RunStatus
from db.queries.prediction import end_prediction, find_prediction, record_plan, start_prediction
from kits_core.plan.measurement import Row

SCAN = {"scan": "s", "source": "/in/s", "kind": "nifti", "series_uid": None, "folder": "/out/s", "flips": True}


def _start(session, small, key="key", **columns):
    model = session.get_one(Model, small.model)
    return start_prediction(session, key, models=[model], locator=None, flow_run_id="flow", **SCAN | columns)


def test_a_prediction_is_found_by_its_key_alone(session, small):
    row = _start(session, small)
    assert find_prediction(session, "key") is row
    assert find_prediction(session, "other") is None
    assert (row.status, row.scan, row.flow_run_id) == (RunStatus.RUNNING, "s", "flow")
    assert [(link.model_id, link.locates) for link in row.models] == [(small.model, False)]


def test_one_that_failed_is_begun_again_with_the_same_models(session, small):
    row = _start(session, small)
    end_prediction(session, row.id, "out of memory")
    assert (row.status, row.error) == (RunStatus.FAILED, "out of memory")
    assert row.ended_at is not None
    again = _start(session, small)
    assert again is row
    assert (again.status, again.error, again.ended_at) == (RunStatus.RUNNING, None, None)
    links = select(func.count()).select_from(PredictionModel).where(PredictionModel.prediction_id == row.id)
    assert session.scalar(links) == 1


def test_the_values_of_a_plan_replace_those_before(session, small):
    row = _start(session, small)
    first = [Row("tumor_1", "left", "volume_ml", 3.0), Row("tumor_1", "left", "cyst_distance_mm", None)]
    record_plan(session, row.id, first, {"sha256": "a"})
    record_plan(session, row.id, first[:1], {"sha256": "b"})
    stored = select(Measurement.name, Measurement.value).where(Measurement.prediction_id == row.id)
    assert session.execute(stored).all() == [("volume_ml", 3.0)]
    found = session.get_one(Prediction, row.id)
    assert (found.status, found.sha256, found.error) == (RunStatus.COMPLETED, "b", None)
