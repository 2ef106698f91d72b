import numpy as np
import pytest
from sqlalchemy import func, select, text

from db.engine import catalog_session
from db.models import Case, CaseScore, Evaluation, RunStatus, Subset
from db.queries import evaluation, training
from kits_core.errors import KitsError
from kits_core.metrics import known
from kits_core.metrics.known import METRICS
from kits_core.metrics.metric import Metric
from kits_core.metrics.score import Score, Status

SHA256 = ("image", "reference")


def _start(session, small, subset=Subset.TRAIN, flow_run_id="flow"):
    return evaluation.start_evaluation(
        session, model_id=small.model, split_id=small.split, subset=subset, flow_run_id=flow_run_id
    )


def _count(session, table):
    return session.scalar(select(func.count()).select_from(table))


def test_a_new_evaluation_is_running(session, small):
    row = _start(session, small)
    assert (row.subset, row.status, row.flow_run_id, row.ended_at) == (Subset.TRAIN, RunStatus.RUNNING, "flow", None)
    assert _count(session, Evaluation) == 2


def test_an_evaluation_that_failed_is_taken_up_again(session, small):
    row = _start(session, small)
    evaluation.end_evaluation(row, RunStatus.FAILED, None)
    again = _start(session, small, flow_run_id="later")
    assert again is row
    assert (again.status, again.ended_at, again.flow_run_id) == (RunStatus.RUNNING, None, "later")
    assert _count(session, Evaluation) == 2


def test_a_completed_evaluation_is_returned_as_it_is(session, small):
    row = _start(session, small, Subset.VALIDATION)
    assert (row.id, row.status, row.flow_run_id) == (small.evaluation, RunStatus.COMPLETED, "flow-5")
    assert row.report_path == "reports/1.html"
    assert row.ended_at is not None


def test_the_newest_evaluation_is_found_unless_told_otherwise(session, small):
    newest = _start(session, small)
    assert evaluation.find_evaluation(session, None) is newest
    assert evaluation.find_evaluation(session, small.evaluation).subset is Subset.VALIDATION


@pytest.mark.parametrize(("wanted", "named"), [(None, "an evaluation"), (7, "evaluation 7")])
def test_an_evaluation_that_is_not_there_is_named(session, wanted, named):
    with pytest.raises(KitsError, match=f"expected {named} in the catalog, got none; run kits evaluate"):
        evaluation.find_evaluation(session, wanted)


def test_scores_of_a_case_are_replaced_and_others_stay(settings, small):
    scores = [
        Score("kidney", "dice", 0.5, Status.OK, 0.25),
        Score("tumor", "dice", 0.25, Status.MISSING, 0.5),
        Score("tumor", "reference_ml", 12.0, Status.MISSING, 0.5),
    ]
    with catalog_session(settings) as session:
        for _ in range(2):
            evaluation.record_scores(session, small.evaluation, small.cases[1], iter(scores), sha256=SHA256)
    with catalog_session(settings) as session:
        kidney, tumor = session.scalars(
            select(CaseScore).where(CaseScore.case_id == small.cases[1]).order_by(CaseScore.region)
        ).all()
        assert (kidney.region, kidney.status, kidney.seconds, kidney.dice) == ("kidney", Status.OK, 0.25, 0.5)
        assert (tumor.status, tumor.seconds, tumor.dice, tumor.iou) == (Status.MISSING, 0.5, 0.25, None)
        assert (kidney.reference_ml, tumor.reference_ml) == (None, 12.0)
        assert _count(session, CaseScore) == 2 + 3


def test_a_metric_that_is_added_is_lacking_until_a_case_is_scored_again(settings, small, monkeypatch):
    roundness = Metric("roundness", "roundness", "overlap", "round", lambda _: 1.0, needs_tolerance=True)
    for module in (known, evaluation):
        monkeypatch.setattr(module, "METRICS", (*METRICS, roundness))
    one, other = small.cases[1:3]
    with catalog_session(settings) as session:
        before = evaluation.score_frame(session, small.evaluation)
        assert evaluation.lacking(session, small.evaluation) == {one: ["roundness"], other: ["roundness"]}
        (said,) = evaluation.what_is_stale(session, small.evaluation)
        assert said == f"evaluation {small.evaluation} lacks roundness of 2 cases; kits evaluate measures them"
        scores = [Score("tumor", "dice", 0.5, Status.OK, 0.1), Score("tumor", "roundness", 0.75, Status.OK, 0.1),
                  Score("kidney", "dice", 0.5, Status.OK, 0.1)]  # fmt: skip
        evaluation.record_scores(session, small.evaluation, one, scores, sha256=SHA256)
    with catalog_session(settings) as session:
        assert evaluation.lacking(session, small.evaluation) == {other: ["roundness"]}
        after = evaluation.score_frame(session, small.evaluation)
        assert "roundness" not in set(before["metric"])
        found = after[after["metric"] == "roundness"]
        assert found[["region", "value"]].values.tolist() == [["tumor", 0.75]]
        wide = session.scalar(text("SELECT more_metrics FROM case_metric_wide WHERE more_metrics IS NOT NULL"))
        assert wide in ({"roundness": 0.75}, '{"roundness": 0.75}')
    monkeypatch.undo()
    with catalog_session(settings) as session:  # its module is gone: what it measured stays, and nothing is lacking
        assert evaluation.lacking(session, small.evaluation) == {}
        assert "roundness" not in set(evaluation.score_frame(session, small.evaluation)["metric"])


def test_scored_cases_are_those_with_values(session, small):
    assert evaluation.scored_cases(session, small.evaluation) == {small.cases[1], small.cases[2]}
    assert evaluation.scored_cases(session, _start(session, small).id) == set()


def test_a_missing_case_is_not_scored_yet(session, small):
    missing = [Score("tumor", "dice", 0.0, Status.MISSING, 0.1)]
    evaluation.record_scores(session, small.evaluation, small.cases[1], missing, sha256=SHA256)
    assert evaluation.scored_cases(session, small.evaluation) == {small.cases[2]}


def test_the_clean_up_that_validation_chose(session, small):
    def chosen(**key):
        return evaluation.validated_cleanup(session, small.model, **key)

    row = session.get_one(Evaluation, small.evaluation)
    assert chosen(flips=False) is None
    row.cleanup = {"rules": {"tumor_mm3": 50.0}}
    session.flush()
    assert chosen(flips=False) == {"rules": {"tumor_mm3": 50.0}}
    assert chosen(flips=True) is None
    row.status = RunStatus.RUNNING
    session.flush()
    assert chosen(flips=False) is None


def test_what_cases_are_told_apart_by(session, small):
    facts = evaluation.case_facts(session, small.cases)
    first = facts.loc["case_00000"]
    assert (first["tumor_ml"], first["slice_mm"], first["stage"], first["sex"], first["phase"]) == (
        10.0, 3.0, "1a", "female", "arterial",
    )  # fmt: skip
    assert facts.loc["case_00003"].isna().all()


def test_a_frame_has_a_row_a_value_in_the_order_of_the_cases(session, small):
    frame = evaluation.score_frame(session, small.evaluation)
    assert list(frame.columns) == ["case", "region", "metric", "value", "status", "diagonal_mm"]
    # Three regions with the one overlap that was recorded, and six metrics each that may have no value.
    assert frame["case"].tolist() == ["case_00001"] * 21 + ["case_00002"] * 21
    assert frame["metric"].tolist()[:2] == ["dice", "hausdorff_mm"]
    assert frame["value"].dtype == float
    assert frame.iloc[0].tolist() == [
        "case_00001",
        "kidney",
        "dice",
        0.9,
        Status.OK,
        pytest.approx(float(np.hypot(512 * 0.75 * 2**0.5, 270))),
    ]
    missed = frame.query("case == 'case_00002' and region == 'tumor' and metric == 'hausdorff_mm'")
    assert np.isnan(missed["value"].item())
    assert missed["status"].item() == "prediction_empty"
    means = frame[frame["metric"] == "dice"].groupby("region")["value"].mean()
    assert means.to_dict() == pytest.approx({"foreground": 0.75, "kidney": 0.8, "tumor": 0.3})


def test_a_frame_of_no_values_is_empty(session, small):
    frame = evaluation.score_frame(session, _start(session, small).id)
    assert list(frame.columns) == ["case", "region", "metric", "value", "status", "diagonal_mm"]
    assert frame.empty


def test_ceilings_are_those_of_the_cases_that_are_asked_for(session, small):
    held_out = evaluation.ceiling_frame(session, small.recipe, iter(small.cases[1:3]))
    assert held_out["case"].unique().tolist() == ["case_00001", "case_00002"]
    assert held_out.groupby("region")["value"].mean().to_dict() == pytest.approx({"kidney": 0.99, "tumor": 0.915})
    assert evaluation.ceiling_frame(session, small.recipe, []).empty
    assert evaluation.ceiling_frame(session, small.recipe + 1, small.cases).empty


def test_scores_over_time_are_those_of_completed_evaluations_the_newest_first(session, small):
    other = {"model_id": small.model, "split_id": small.split, "flow_run_id": None}
    later = evaluation.start_evaluation(session, subset=Subset.TRAIN, **other)
    evaluation.record_scores(
        session, later.id, small.cases[0], [Score("kidney", "dice", 0.5, Status.OK, 0.1)], sha256=SHA256
    )
    evaluation.end_evaluation(later, RunStatus.COMPLETED, None)
    evaluation.start_evaluation(session, subset=Subset.TRAIN, flips=True, **other)
    session.flush()
    found = evaluation.scores_over_time(session, "site", 20)
    assert [(row["evaluation_id"], row["kidney_dice"]) for row in found] == [
        (later.id, 0.5),
        (small.evaluation, pytest.approx(0.8)),
    ]
    assert found[0]["ended_at"] == later.ended_at > found[1]["ended_at"]
    assert len(evaluation.scores_over_time(session, "site", 1)) == 1
    assert evaluation.scores_over_time(session, "other", 20) == []


def test_measurements_go_with_the_scores_and_come_back_as_a_frame(session, small):
    frame = evaluation.measurement_frame(session, small.evaluation)
    assert list(frame.columns) == ["case", "structure", "side", "name", "reference", "prediction"]
    assert frame["case"].tolist() == ["case_00001"] * 3 + ["case_00002"]
    assert (frame["reference"].dtype, frame["prediction"].dtype) == (float, float)
    evaluation.record_scores(session, small.evaluation, small.cases[1], [], sha256=SHA256)
    assert evaluation.measurement_frame(session, small.evaluation)["case"].tolist() == ["case_00002"]
    assert evaluation.measurement_frame(session, 99).empty


def test_scores_of_other_weights_are_stale_until_the_case_is_scored_again(session, small):
    def of_other_weights():
        query = text("SELECT case_name FROM stale WHERE what = 'evaluation' AND changed = 'model'")
        return session.scalars(query).all()

    case, scores = small.cases[1], [Score("kidney", "dice", 0.5, Status.OK, 0.1)]
    evaluation.record_scores(session, small.evaluation, case, scores, sha256=SHA256)
    session.flush()
    assert of_other_weights() == []
    training.register_model(
        session, small.run, epoch=1, path="p", sha256="other", score=0.5, parameters=1, flow_run_id=None
    )
    assert session.get_one(Case, case).name in of_other_weights()
    assert case in evaluation.stale_cases(session, small.evaluation)
    evaluation.record_scores(session, small.evaluation, case, scores, sha256=SHA256)
    session.flush()
    assert session.get_one(Case, case).name not in of_other_weights()
