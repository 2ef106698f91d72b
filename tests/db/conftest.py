"""A catalog on each database: SQLite in a folder, PostgreSQL in a cluster that lives as long as the tests."""

import shutil
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from db import engine as engine_module
from db.engine import catalog_session, make_engine, open_catalog
from db.models import CaseStatus, FileKind, RunStatus, Subset
from db.queries import evaluation, forget, ingest, prediction, prepare, split, training
from db.settings import Settings
from kits_core.metrics.score import Score, Status
from kits_core.plan.measurement import Pair, Row
from kits_core.split import Split as SplitPlan

_numbers = count(1)
_ids = pytest.StashKey()
_CONTENTS = ("empty", "small")


@pytest.fixture(scope="module", autouse=True)
def _copied_catalogs():
    """None: these tests are about how catalogs are made."""


@pytest.fixture(autouse=True)
def engines(monkeypatch):
    """Every engine that a test makes through this project; closed at its end, so that databases can be dropped."""
    made = []

    def make(url):
        made.append(make_engine(url))
        return made[-1]

    monkeypatch.setattr(engine_module, "make_engine", make)
    yield made
    engine_module._open.cache_clear()
    for engine in made:
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request, tmp_path):
    """Settings of a catalog that nobody has opened yet."""
    if request.param == "sqlite":
        yield Settings(home=tmp_path / "home", database_url=None)
        return
    yield from _database(request.getfixturevalue("cluster"), tmp_path, "template1")


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request, tmp_path):
    """Settings of a catalog at this code's version: empty, or the small one where a test asks for `small`."""
    templates = request.getfixturevalue(f"{request.param}_templates")
    template, request.node.stash[_ids] = templates["small" if "small" in request.fixturenames else "empty"]
    if request.param == "sqlite":
        yield Settings(home=shutil.copytree(template, tmp_path / "home"), database_url=None)
        return
    yield from _database(request.getfixturevalue("cluster"), tmp_path, template)


@pytest.fixture
def small(request, settings):
    """Ids of a small catalog: four cases, and one each of recipe, split, run, model (champion) and evaluation.

    case_00000 is trained on; case_00001 and case_00002 are held out and scored; case_00003 is in quarantine. Two scans
    are from outside.
    """
    return request.node.stash[_ids]


@pytest.fixture(scope="session")
def sqlite_templates(tmp_path_factory):
    homes = {name: tmp_path_factory.mktemp(name) for name in _CONTENTS}
    return {name: (home, _fill(Settings(home=home, database_url=None), name)) for name, home in homes.items()}


@pytest.fixture(scope="session")
def postgresql_templates(cluster, tmp_path_factory):
    for name in _CONTENTS:
        cluster.execute(f"CREATE DATABASE {name}")
    homes = {name: tmp_path_factory.mktemp(name) for name in _CONTENTS}
    return {
        name: (name, _fill(Settings(home=home, database_url=cluster.url(name)), name)) for name, home in homes.items()
    }


@pytest.fixture
def session(settings):
    with catalog_session(settings) as opened:
        yield opened


def _fill(settings, contents):
    ids = _make_small(settings) if contents == "small" else None
    open_catalog(settings).dispose()  # a database with connections cannot be copied
    return ids


def _make_small(settings):
    with catalog_session(settings) as session:
        cases = _small_dataset(session)
        recipe = prepare.ensure_recipe(session, "recipe-a", {"frame": "volume", "shape": 64}, "flow-2")
        for number in range(3):
            prepare.record_prepared(
                session,
                recipe_id=recipe.id,
                case_id=cases[number].id,
                facts=prepared_facts(number),
                ceilings={("kidney", "dice"): 0.99, ("tumor", "dice"): 0.90 + number / 100},
            )
        forget.note_forgotten(session, cases[0].dataset, "digest")
        made = split.record_split(
            session,
            dataset_id=cases[0].dataset_id,
            split_hash="split-a",
            seed=23,
            validation=0.67,
            folds=None,
            plan=SplitPlan(("case_00000",), ("case_00001", "case_00002"), {c.name: "other" for c in cases[:3]}, {}),
            case_ids={case.name: case.id for case in cases},
            flow_run_id="flow-3",
        )
        run = training.find_or_open_run(
            session,
            recipe_id=recipe.id,
            split_id=made.id,
            config={"epochs": 2},
            config_hash="c",
            prepared=list(prepare.prepared_of(session, recipe.id).values()),
            flow_run_id="flow-4",
        )
        for epoch in (1, 2):
            training.record_epoch(session, run.id, epoch, {"loss": 1 / epoch, "tumor_dice": epoch / 4})
        model = training.register_model(
            session,
            run.id,
            epoch=2,
            path="runs/1/best.keras",
            sha256="ab" * 32,
            score=0.5,
            parameters=9,
            flow_run_id="flow-4",
        )
        training.end_run(session, run.id, RunStatus.COMPLETED)
        training.promote_the_first(session, model, least_dice=0.1)
        scored = evaluation.start_evaluation(
            session, model_id=model.id, split_id=made.id, subset=Subset.VALIDATION, flow_run_id="flow-5"
        )
        for case, scores, measured in zip(cases[1:3], small_scores(), small_pairs(), strict=True):
            evaluation.record_scores(session, scored.id, case.id, scores, sha256=_hashes(case.name), measured=measured)
        evaluation.end_evaluation(scored, RunStatus.COMPLETED, "reports/1.html")
        _predict_scans(session, model)
        return SimpleNamespace(
            dataset=cases[0].dataset_id,
            cases=[case.id for case in cases],
            recipe=recipe.id,
            split=made.id,
            run=run.id,
            model=model.id,
            evaluation=scored.id,
        )


def _predict_scans(session, model):
    """One scan that was planned, and one that was refused."""
    start = partial(
        prediction.start_prediction,
        session,
        models=[model],
        locator=None,
        flow_run_id="flow-6",
        kind="dicom",
        flips=False,
        series_uid="1.2",
    )
    scans = [start(f"key-{name}", scan=name, source=f"/in/{name}", folder=f"/out/{name}") for name in ("good", "bad")]
    prediction.record_plan(session, scans[0].id, SMALL_PLAN, {"sha256": "scan", "flags": [{"code": "kidney_cut"}]})
    prediction.end_prediction(session, scans[1].id, "no kidney")


def _small_dataset(session):
    site = ingest.ensure_dataset(session, name="site", source="folder", revision="v1", flow_run_id="flow-1")
    phases = ["arterial", "arterial", "nephrogenic", None]
    cases = [ingest.ensure_case(session, site, f"case_{n:05d}", phase=phase) for n, phase in enumerate(phases)]
    for number, case in enumerate(cases[:3]):
        for kind in FileKind:
            ingest.record_file(session, case, kind, file_facts(f"{kind}-{number}"))
        volumes = {1: (200_000, 200.0), 2: (10_000 * (number + 1), 10.0 * (number + 1))}
        ingest.record_label_volumes(session, case, volumes | ({3: (500, 0.5)} if number == 0 else {}))
        case.status, case.has_segmentation = CaseStatus.INGESTED, True
    record = {"case_id": "case_00000", "sex": "female", "age_years": 61, "pathology_t_stage": "1a", "extra": {}}
    ingest.record_clinical(session, site, [record], "clinical")
    for attempt in (1, 2):
        ingest.record_problem(session, cases[3].id, "ingest", f"attempt {attempt} failed", "flow-1")
    cases[3].status = CaseStatus.QUARANTINED
    # A case of the same name elsewhere, with no file and no volume.
    other = ingest.ensure_dataset(session, name="other", source="elsewhere", revision=None, flow_run_id=None)
    ingest.ensure_case(session, other, "case_00000")
    return cases


def file_facts(name):
    """What is known of a file but its case and kind; hashes and addresses have `name` in them."""
    return {
        "path": f"raw/site/{name}.nii",
        "source_url": f"https://source.example/{name}.nii.gz",
        "bytes": 5_000_000_000,
        "sha256": f"sha-{name}",
        "archive_bytes": 1000,
        "archive_sha256": f"archive-{name}",
        "etag": None,
        "last_modified": None,
        "dtype": "int16",
        "shape": [512, 512, 90],
        "spacing_mm": [0.75, 0.75, 3.0],
        "affine": [[-0.75, 0, 0, 1], [0, -0.75, 0, 2], [0, 0, 3, 3], [0, 0, 0, 1]],
        "orientation": "LPS",
        "flow_run_id": "flow-1",
    }


def prepared_facts(number):
    """What is known of a prepared case but the case and its recipe."""
    return {
        "image_path": f"prepared/recipe-a/site/case_{number:05d}/image.nii",
        "image_sha256": f"prepared-{number}",
        "label_path": f"prepared/recipe-a/site/case_{number:05d}/label.nii",
        "label_sha256": f"prepared-label-{number}",
        "source_image_sha256": f"sha-image-{number}",
        "source_segmentation_sha256": f"sha-segmentation-{number}",
        "geometry": {"shape": [64, 64, 64]},
        "kidney_kept": 1.0,
        "tumor_kept": 1.0,
        "cyst_kept": None,
        "seconds": 2.0,
    }


def small_scores():
    """Scores of case_00001 and case_00002: means are kidney 0.8, tumour 0.3, foreground 0.75."""
    found = [
        Score("kidney", "dice", 0.9, Status.OK, 0.1),
        Score("kidney", "hausdorff95_mm", 4.5, Status.OK, 0.1),
        Score("tumor", "dice", 0.6, Status.OK, 0.1),
        Score("tumor", "hausdorff_mm", 12.0, Status.OK, 0.1),
        Score("tumor", "prediction_ml", 15.0, Status.OK, 0.1),
        Score("tumor", "reference_ml", 20.0, Status.OK, 0.1),
        Score("foreground", "dice", 0.8, Status.OK, 0.1),
    ]
    missed = [
        Score("kidney", "dice", 0.7, Status.OK, 0.1),
        Score("tumor", "dice", 0.0, Status.PREDICTION_EMPTY, 0.1),
        Score("tumor", "hausdorff_mm", None, Status.PREDICTION_EMPTY, 0.1),
        Score("tumor", "prediction_ml", 0.0, Status.PREDICTION_EMPTY, 0.1),
        Score("tumor", "reference_ml", 30.0, Status.PREDICTION_EMPTY, 0.1),
        Score("foreground", "dice", 0.7, Status.OK, 0.1),
    ]
    return found, missed


def _hashes(case):
    """Of the files that `file_facts` made for a case."""
    number = int(case.removeprefix("case_"))
    return f"sha-image-{number}", f"sha-segmentation-{number}"


def small_pairs():
    """What plans of case_00001 and case_00002 measure: a tumour that is there and in part found, and one missed."""
    found = [
        Pair("kidney_left", "left", "parenchyma_ml", 150.0, 140.0),
        Pair("tumor_1", "left", "diameter_mm", 40.0, 37.5),
        Pair("found_2", "right", "diameter_mm", None, 9.0),
    ]
    return found, [Pair("tumor_1", "right", "diameter_mm", 50.0, None)]


SMALL_PLAN = [
    Row("kidney_left", "left", "tumor_ml", 21.0),
    Row("tumor_1", "left", "volume_ml", 20.0),
    Row("tumor_1", "left", "diameter_mm", 34.0),
    Row("tumor_1", "left", "cyst_distance_mm", None),
    Row("tumor_2", "left", "volume_ml", 1.0),
    Row("tumor_2", "left", "diameter_mm", 12.0),
]


@pytest.fixture
def view_rows(settings):
    """Rows of a view as dictionaries: `view_rows("leaderboard", "run_id = 1")`, in the order of what is asked for."""

    def ask(view, where="1 = 1", order="1"):
        with open_catalog(settings).connect() as connection:
            found = connection.execute(text(f"SELECT * FROM {view} WHERE {where} ORDER BY {order}"))
            return [dict(row) for row in found.mappings()]

    return ask


@pytest.fixture(name="file_facts")
def _file_facts():
    return file_facts


@pytest.fixture(name="prepared_facts")
def _prepared_facts():
    return prepared_facts


def _database(cluster, tmp_path, template):
    name = f"test_{next(_numbers)}"
    cluster.copy(template, name)
    yield Settings(home=tmp_path / "home", database_url=cluster.url(name))
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)", role="postgres")
