"""Two processes write the same thing at once: the second waits, and finds what the first has written."""

import threading

import pytest
from sqlalchemy.orm import Session

from db.engine import catalog_session, open_catalog
from db.models import (
    Case,
    Dataset,
    FileKind,
    Model,
    Subset,
)
from db.queries import evaluation, ingest, prepare, split, training
from kits_core.errors import KitsError
from kits_core.metrics.score import Score, Status
from kits_core.split import Split as SplitPlan

FILE = {
    "path": "raw/a.nii",
    "source_url": "http://a",
    "bytes": 1,
    "sha256": "a",
    "archive_bytes": 1,
    "archive_sha256": "b",
    "dtype": "int16",
    "shape": [1, 1, 1],
    "spacing_mm": [1, 1, 1],
    "affine": [],
    "orientation": "IPL",
}
PREPARED = {
    "image_path": "prepared/a.nii",
    "image_sha256": "a",
    "source_image_sha256": "a",
    "geometry": {},
    "seconds": 1.0,
}


@pytest.fixture
def ids(settings):
    """A dataset with one case, a recipe, a split, two runs with a model each, and an evaluation."""
    with catalog_session(settings) as session:
        dataset = ingest.ensure_dataset(session, name="site", source="folder", revision=None, flow_run_id=None)
        case = ingest.ensure_case(session, dataset, "case_00000")
        recipe = prepare.ensure_recipe(session, "recipe", {}, None)
        parts = split.record_split(session, dataset_id=dataset.id, **_split("split", case.id))
        runs = [_start(session, recipe.id, parts.id, f"run {number}") for number in range(2)]
        session.flush()
        models = [_register(session, run.id) for run in runs]
        scored = evaluation.start_evaluation(
            session, model_id=models[0].id, split_id=parts.id, subset=Subset.VALIDATION, flow_run_id=None
        )
        return {
            "dataset": dataset.id,
            "case": case.id,
            "recipe": recipe.id,
            "split": parts.id,
            "run": runs[0].id,
            "models": [model.id for model in models],
            "evaluation": scored.id,
        }


def _split(digest, case_id):
    return {
        "split_hash": digest,
        "seed": 1,
        "validation": 0.5,
        "folds": None,
        "plan": SplitPlan(train=("case_00000",), validation=(), strata={"case_00000": "all"}, folds={}),
        "case_ids": {"case_00000": case_id},
        "flow_run_id": None,
    }


def _start(session, recipe_id, split_id, digest):
    return training.find_or_open_run(
        session, recipe_id=recipe_id, split_id=split_id, config={}, config_hash=digest, prepared=[], flow_run_id=None
    )


def _register(session, run_id):
    return training.register_model(
        session, run_id, epoch=1, path="best", sha256="a", score=0.5, parameters=1, flow_run_id=None
    )


def _promote(session, model_id):
    training.promote(session, session.get_one(Model, model_id))


WRITES = {
    "dataset": lambda s, i, n: ingest.ensure_dataset(s, name="new", source="a", revision=None, flow_run_id=None),
    "case": lambda s, i, n: ingest.ensure_case(s, s.get_one(Dataset, i["dataset"]), "case_00001"),
    "file": lambda s, i, n: ingest.record_file(s, s.get_one(Case, i["case"]), FileKind.IMAGE, FILE),
    "volumes": lambda s, i, n: ingest.record_label_volumes(s, s.get_one(Case, i["case"]), {1: (n, 1.0)}),
    "clinical": lambda s, i, n: ingest.record_clinical(
        s, s.get_one(Dataset, i["dataset"]), [{"case_id": "case_00000", "extra": {}}], "a"
    ),
    "problem": lambda s, i, n: ingest.record_problem(s, i["case"], "ingest", "bad", None),
    "recipe": lambda s, i, n: prepare.ensure_recipe(s, "new", {}, None),
    "prepared": lambda s, i, n: prepare.record_prepared(
        s, recipe_id=i["recipe"], case_id=i["case"], facts=PREPARED, ceilings={("tumor", "dice"): 1.0}
    ),
    "split": lambda s, i, n: split.record_split(s, dataset_id=i["dataset"], **_split("new", i["case"])),
    "run": lambda s, i, n: _start(s, i["recipe"], i["split"], "new"),
    "epoch": lambda s, i, n: training.record_epoch(s, i["run"], 1, {"loss": 1.0}),
    "champion": lambda s, i, n: _promote(s, i["models"][n]),
    "evaluation": lambda s, i, n: evaluation.start_evaluation(
        s, model_id=i["models"][1], split_id=i["split"], subset=Subset.TRAIN, flow_run_id=None
    ),
    "scores": lambda s, i, n: evaluation.record_scores(
        s, i["evaluation"], i["case"], [Score("tumor", "dice", 0.5, Status.OK, 0.1)], sha256=("image", "reference")
    ),
}


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
@pytest.mark.parametrize("name", WRITES)
def test_a_second_writer_waits_for_the_first(settings, ids, name):
    engine, write = open_catalog(settings), WRITES[name]
    begun, failed = threading.Event(), []

    def second():
        begun.set()
        try:
            with Session(engine) as session, session.begin():
                write(session, ids, 1)
        except Exception as error:  # noqa: BLE001 - the test shows it
            failed.append(error)

    with Session(engine) as session, session.begin():
        write(session, ids, 0)
        session.flush()
        thread = threading.Thread(target=second)
        thread.start()
        begun.wait()
        thread.join(0.2)  # long enough to have looked, and to have found nothing
        assert thread.is_alive()
    thread.join()
    assert failed == []


def test_a_model_of_an_impossible_number_is_not_found(settings, ids):
    with catalog_session(settings) as session, pytest.raises(KitsError, match=r"expected model 9{20} in the catalog"):
        training.find_model(session, "9" * 20)
