import pytest
from sqlalchemy import delete, func, select

from db.engine import catalog_session
from db.models import Case, EpochMetric, Model, PreparedCase, RunStatus, Split, TrainedCase, TrainingRun
from db.queries import forget, prepare, training
from kits_core.errors import KitsError


def _start(session, small, config_hash="new", flow_run_id="flow", config=None, **other):
    ids = {"recipe_id": small.recipe, "split_id": small.split} | other
    return training.find_or_open_run(
        session,
        **ids,
        config={"epochs": 3} | (config or {}),
        config_hash=config_hash,
        prepared=session.scalars(select(PreparedCase)).all(),
        flow_run_id=flow_run_id,
    )


def _model(session, small, score, config_hash, **other):
    run = _start(session, small, config_hash, **other)
    return training.register_model(
        session, run.id, epoch=1, path="p", sha256="s", score=score, parameters=1, flow_run_id=None
    )


def _count(session, table):
    return session.scalar(select(func.count()).select_from(table))


def test_a_new_run_is_running(session, small):
    run = _start(session, small)
    assert (run.status, run.config, run.flow_run_id, run.error) == (RunStatus.RUNNING, {"epochs": 3}, "flow", None)
    assert _count(session, TrainingRun) == 2


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.RUNNING])
def test_a_run_that_did_not_complete_is_taken_up_again(session, small, status):
    run = _start(session, small)
    training.end_run(session, run.id, status, "out of memory")
    again = _start(session, small, flow_run_id="later")
    assert again is run
    # Whoever asks for it may not be the one that trains it: that is noted by whoever has its folder.
    assert (again.status, again.error, again.flow_run_id) == (status, "out of memory", "flow")
    training.take_up(session, run, "later", {})
    assert (again.status, again.error, again.ended_at, again.flow_run_id) == (RunStatus.RUNNING, None, None, "later")
    assert _count(session, TrainingRun) == 2


def test_a_run_that_went_on_elsewhere_names_both_machines(session, small):
    run = _start(session, small)
    here, there = {"keras": "3.15", "gpus": "none"}, {"keras": "3.15", "gpus": "H100", "driver": "1"}
    changed = [training.take_up(session, run, "flow", environment) for environment in (here, here, there, there, here)]
    assert changed[:2] == [{}, {}]
    assert changed[2] == {"gpus": ("none", "H100"), "driver": ("not recorded", "1")}
    assert changed[3:] == [{}, {"gpus": ("H100", "none"), "driver": ("1", "not recorded")}]
    assert run.environment == {
        "keras": "3.15",
        "gpus": "none, then H100, then none",
        "driver": "not recorded, then 1, then not recorded",
    }


def test_other_prepared_files_are_another_run_and_each_keeps_its_own(session, small):
    run = _start(session, small)
    before = {case.case_id: case.image_sha256 for case in run.cases}
    prepared = session.scalars(select(PreparedCase)).first()
    prepared.image_sha256 = "other"
    session.flush()
    other = _start(session, small)
    assert other.id != run.id
    assert {case.case_id: case.image_sha256 for case in other.cases} == before | {prepared.case_id: "other"}
    assert {case.case_id: case.image_sha256 for case in run.cases} == before


def test_a_completed_run_is_returned_as_it_is(session, small):
    run = _start(session, small)
    training.end_run(session, run.id, RunStatus.COMPLETED)
    ended = run.ended_at
    again = _start(session, small, flow_run_id="later")
    assert again is run
    assert (again.status, again.flow_run_id) == (RunStatus.COMPLETED, "flow")
    assert again.ended_at == ended is not None


def test_another_configuration_is_another_run(session, small):
    assert _start(session, small, "one").id != _start(session, small, "two").id


def test_an_epoch_is_replaced(settings, small):
    for _ in range(2):
        with catalog_session(settings) as session:
            training.record_epoch(session, small.run, 2, {"loss": 0.25, "kidney_dice": 0.8})
    with catalog_session(settings) as session:
        frame = training.history(session, small.run)
        assert _count(session, EpochMetric) == 5
    assert list(frame.columns) == ["epoch", "kidney_dice", "loss", "tumor_dice"]
    assert frame["epoch"].tolist() == [1, 2]
    assert frame["loss"].tolist() == [1.0, 0.25]
    assert frame["tumor_dice"].tolist() == [0.25, 0.5]
    assert frame["kidney_dice"].isna().tolist() == [True, False]


def test_a_run_without_epochs_has_an_empty_history(session, small):
    frame = training.history(session, _start(session, small).id)
    assert list(frame.columns) == ["epoch"]
    assert frame.empty


def test_a_model_is_replaced(settings, small):
    with catalog_session(settings) as session:
        again = training.register_model(
            session, small.run, epoch=5, path="new", sha256="n", score=0.7, parameters=10, flow_run_id="flow-9"
        )
        assert (again.id, again.epoch, again.path, again.sha256) == (small.model, 5, "new", "n")
        assert (again.score, again.parameters, again.is_champion) == (0.7, 10, True)
        assert _count(session, Model) == 1


def test_an_empty_catalog_has_no_champion(session):
    assert training.champion(session) is None


def test_the_first_model_becomes_champion(settings, small):
    with catalog_session(settings) as session:
        assert training.champion(session).id == small.model


def _with_dice(session, small, kidney, tumor, name="other"):
    model = _model(session, small, (kidney + tumor) / 2, name)
    training.record_epoch(session, model.run_id, model.epoch, {"kidney_dice": kidney, "tumor_dice": tumor})
    session.flush()
    return model


@pytest.mark.parametrize(("kidney", "tumor", "becomes"), [(0.8, 0.3, True), (0.8, 0.29, False), (0.2, 0.9, False)])
def test_a_first_model_becomes_champion_where_both_dice_reach_what_is_asked(session, small, kidney, tumor, becomes):
    session.get_one(Model, small.model).is_champion = False
    model = _with_dice(session, small, kidney, tumor)
    training.promote_the_first(session, model, least_dice=0.3)
    assert (training.champion(session) == model) == becomes
    if not becomes:
        with pytest.raises(KitsError, match=r"expected a champion, got none: .*--model latest"):
            training.find_model(session, "champion")
        training.promote(session, model)
        assert training.champion(session) == model


@pytest.mark.parametrize(("kidney", "tumor"), [(0.9, 0.0), (0.0, 0.9)])
def test_a_model_that_finds_no_tumour_or_no_kidney_is_never_champion(session, small, kidney, tumor):
    blind = _with_dice(session, small, kidney, tumor)
    assert training.rival(session, blind) is None
    with pytest.raises(KitsError, match=rf"got a validation Dice of {kidney:.3f} for kidney and {tumor:.3f} for tum"):
        training.promote(session, blind)
    session.get_one(Model, small.model).is_champion = False
    training.promote_the_first(session, blind, least_dice=0.001)
    assert training.champion(session) is None


def test_a_better_model_of_the_same_recipe_and_split_is_proposed_and_a_call_promotes_it(settings, small):
    with catalog_session(settings) as session:
        better = _model(session, small, 0.51, "better")
        assert training.rival(session, better).id == small.model
        assert training.champion(session).id == small.model
        training.promote(session, better)
        assert training.rival(session, better) is None
    with catalog_session(settings) as session:
        assert training.champion(session).id == better.id
        assert not session.get_one(Model, small.model).is_champion


@pytest.mark.parametrize("score", [0.49, 0.5])
def test_a_model_that_is_not_better_does_not(session, small, score):
    assert training.rival(session, _model(session, small, score, "worse")) is None
    assert training.champion(session).id == small.model


def test_a_model_of_another_split_or_recipe_cannot_be_compared(session, small):
    split = Split(dataset_id=small.dataset, hash="other", seed=1, validation_fraction=0.2, strata={})
    session.add(split)
    session.flush()
    recipe = prepare.ensure_recipe(session, "other", {}, None)
    assert training.rival(session, _model(session, small, 0.9, "a", split_id=split.id)) is None
    assert training.rival(session, _model(session, small, 0.9, "a", recipe_id=recipe.id)) is None
    assert training.champion(session).id == small.model


def test_a_score_of_other_validation_cases_cannot_be_compared(session, small):
    for number, config in enumerate(({"selection_cases": 1, "seed": 2}, {"fold": 1})):
        assert training.rival(session, _model(session, small, 0.9, f"on fewer {number}", config=config)) is None
    assert training.rival(session, _model(session, small, 0.9, "another seed", config={"seed": 2})).id == small.model


def test_the_second_network_of_a_cascade_may_take_the_place_of_the_first(session, small):
    for locator, found in (("ab" * 32, small.model), ("cd" * 32, None)):
        around = prepare.ensure_recipe(session, f"around {locator}", {"frame": "kidneys", "locator": locator}, None)
        rival = training.rival(session, _model(session, small, 0.9, "around", recipe_id=around.id))
        assert (rival.id if rival else None) == found


def test_kidneys_are_found_by_a_model_of_the_same_cases(session, small):
    volume = prepare.ensure_recipe(session, "volume", {"frame": "volume"}, None)
    kidneys = prepare.ensure_recipe(session, "kidneys", {"frame": "kidneys"}, None)
    wanted = [_start(session, small, f"fold {fold}", config={"fold": fold}, recipe_id=kidneys.id) for fold in (0, 1)]
    good, better = (
        _model(session, small, 0.5 + fold / 10, f"whole {fold}", config={"fold": fold}, recipe_id=volume.id)
        for fold in (0, 1)
    )
    for run, model in zip(wanted, (good, better), strict=True):
        for held_out in (True, False):
            assert training.find_locator(session, run, held_out=held_out).id == model.id
    alone = _start(session, small, "fold 2", config={"fold": 2}, recipe_id=kidneys.id)
    assert training.find_locator(session, alone, held_out=False).id == better.id
    with pytest.raises(KitsError, match="kits train --frame volume --split 1 --fold 2 first"):
        training.find_locator(session, alone, held_out=True)


def test_a_run_is_found_by_its_id_and_taken_up(session, small):
    run = training.find_run(session, 1)
    training.end_run(session, run.id, RunStatus.CANCELLED, "cancelled from the dashboard")
    training.take_up(session, run, "flow-9", {})
    assert (run.status, run.error, run.ended_at, run.flow_run_id) == (RunStatus.RUNNING, None, None, "flow-9")
    with pytest.raises(KitsError, match="expected training run 77 in the catalog, got none"):
        training.find_run(session, 77)


def test_a_model_is_found_by_its_checkpoint(session, small):
    assert training.model_of_sha256(session, "ab" * 32).id == small.model
    with pytest.raises(KitsError, match="expected the model with SHA-256 zzz in the catalog"):
        training.model_of_sha256(session, "zzz")


def test_any_model_can_be_made_champion_by_hand(session, small):
    worse = _model(session, small, 0.1, "worse")
    for _ in range(2):
        training.promote(session, worse)
    assert training.champion(session) is worse
    assert [model.is_champion for model in session.scalars(select(Model).order_by(Model.id))] == [False, True]


def test_a_model_is_found_by_role_age_and_number(session, small):
    latest = _model(session, small, 0.1, "latest")
    assert training.find_model(session, "champion").id == small.model
    assert training.find_model(session, "latest") is latest
    assert training.find_model(session, str(small.model)).id == small.model


@pytest.mark.parametrize("wanted", ["champion", "latest", "7"])
def test_a_model_that_is_not_there_is_named(session, wanted):
    with pytest.raises(KitsError, match=f"expected model {wanted} in the catalog, got none; run kits train"):
        training.find_model(session, wanted)


@pytest.mark.parametrize("wanted", ["", "best", "-1", "1.5"])
def test_what_is_no_model_is_named(session, wanted):
    with pytest.raises(KitsError, match=f"champion, latest or a number, got '{wanted}'; look with kits status"):
        training.find_model(session, wanted)


def _chain(session, small):
    """Runs of which each begins with the model of the one before."""
    first = session.get_one(Model, small.model)
    runs = [first.run]
    for number, weights in (("tuned", "bb" * 32), ("again", "cc" * 32)):
        begun = _start(session, small, number, config={"begins_with": session.get_one(Model, first.id).sha256})
        first = training.register_model(
            session, begun.id, epoch=1, path="p", sha256=weights, score=0.5, parameters=1, flow_run_id=None
        )
        runs.append(begun)
    return runs


def test_the_weights_of_a_run_are_followed_back_and_on(session, small):
    runs = _chain(session, small)
    ids = [run.id for run in runs]
    assert [model.run_id for model in training.bases(session, runs[2])] == [ids[1], ids[0]]
    assert training.bases(session, runs[0]) == []
    assert training.runs_on(session, ids[:1]) == set(ids)
    assert training.runs_on(session, ids[2:]) == {ids[2]}
    assert training.runs_on(session, []) == set()


def test_a_case_that_is_forgotten_counts_in_what_began_with_the_weights_that_have_learnt_it(session, small):
    runs = _chain(session, small)
    session.execute(delete(TrainedCase).where(TrainedCase.run_id == runs[2].id))
    forget.delete_case(session, session.get_one(Case, small.cases[0]))
    session.expire_all()
    assert [run.forgotten_cases for run in runs] == [1, 1, 1]
