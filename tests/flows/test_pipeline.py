import json

import pytest
from mlflow import MlflowClient

from db.models import Base
from db.settings import Settings
from flows.evaluate import evaluate
from flows.parameters import EvaluateParameters, PipelineParameters, PrepareParameters, TrainParameters
from flows.pipeline import pipeline
from flows.prepare import prepare
from flows.train import train
from kits_core.errors import KitsError
from kits_core.files import sha256_of
from kits_core.network.config import TrainingConfig
from kits_core.phantom.server import DatasetServer
from kits_core.recipe import Recipe
from tasks.progress import listening

RECIPE = Recipe(shape=32)
COUNTS = "SELECT (SELECT COUNT(*) FROM case_score), (SELECT COUNT(*) FROM model), (SELECT COUNT(*) FROM split)"
CONFIG = TrainingConfig(epochs=2, batch_size=2, filters=4, learning_rate=3e-3)


class Heard:
    """Keeps what is reported."""

    def __init__(self):
        self.stages = {}

    def update(self, stage, done, total, note):
        self.stages.setdefault(stage, []).append((done, total))

    def say(self, text):
        self.stages.setdefault("said", []).append(text)


@pytest.fixture
def ran(phantoms, prefect_api, home, tmp_path, monkeypatch):
    """One run of the whole pipeline on small phantoms: its result and what it reported."""
    heard = Heard()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with DatasetServer(phantoms) as server, listening(heard):
        parameters = PipelineParameters(source=server.address, dataset="phantoms", recipe=RECIPE, config=CONFIG)
        yield pipeline(parameters), heard, parameters


def test_from_a_source_to_a_report_and_every_table_has_rows(ran, rows, artifact, prefect_api):
    done, heard, parameters = ran
    counts = {table: rows(f'SELECT COUNT(*) FROM "{table}"')[0][0] for table in Base.metadata.tables}
    of_other_scans = {"prediction", "prediction_model", "measurement", "forgotten"}
    assert {table for table, count in counts.items() if count == 0} == {"problem", *of_other_scans}
    assert rows("SELECT subset, COUNT(*) FROM split_member GROUP BY subset ORDER BY 1") == [
        ("train", 6),
        ("validation", 2),
    ]
    assert rows("SELECT COUNT(*) FROM epoch_metric WHERE name = 'tumor_dice'") == [(2,)]
    found = rows("SELECT MIN(value) FROM epoch_metric WHERE epoch = (SELECT epoch FROM model) AND name LIKE '%_dice'")
    assert rows("SELECT cases, is_champion FROM leaderboard") == [(2, found[0][0] >= 0.1)]
    assert rows("SELECT COUNT(*) FROM lineage WHERE archive_sha256 IS NOT NULL AND source_url LIKE 'http://127%'") == [
        (2,)
    ]

    # Every scored case has its reference's tumours and kidneys measured, whatever the model found of them.
    assert rows(
        "SELECT COUNT(DISTINCT case_name) FROM measurement_error WHERE structure = 'tumor_1' "
        "AND measurement = 'diameter_mm' AND reference > 0"
    ) == [(2,)]

    # What is told is what the catalog says.
    ((tumor,),) = rows("SELECT AVG(dice) FROM case_metric_wide WHERE region = 'tumor'")
    shown = next(row for row in done.scores if row["region"] == "tumor")
    assert shown["Dice"] == f"{tumor:.3f}"
    assert f">{tumor:.3f}<" in done.report.read_text(encoding="utf-8")

    _the_models_folder_tells_where_it_comes_from(rows)
    assert heard.stages["ingest"][-1] == (8, 8)
    assert heard.stages["train"][-1] == (6, 6)
    assert heard.stages["said"][0].startswith("3 steps to go at ")
    assert heard.stages["evaluate"][-1] == (2, 2)

    for key in ("ingest", "prepare", "split", "train", "training", "training-budget", "pipeline"):
        assert artifact(key)["data"]
    evaluation, scores = artifact("evaluation")["data"], artifact("scores")["data"]
    assert f"| {tumor:.3f} |" in evaluation
    assert "data:image/png;base64," in evaluation
    assert "# phantoms: evaluations, the newest first" in scores
    assert f"| {tumor:.3f} |" in scores
    ((training, evaluation),) = rows(
        "SELECT r.flow_run_id, e.flow_run_id FROM training_run r JOIN evaluation e ON e.status = 'completed'"
    )
    page = done.report.read_text(encoding="utf-8")
    dashboard = prefect_api.removesuffix("/api")
    assert f'<dt>Prefect run of the training</dt><dd><a href="{dashboard}/runs/flow-run/{training}" ' in page
    assert f'<dt>Prefect run of the evaluation</dt><dd><a href="{dashboard}/runs/flow-run/{evaluation}" ' in page
    for key in ("report", "evaluation", "pipeline"):
        assert f"](/kits/open/reports/{done.report.name})" in artifact(key)["data"]
    heads = [line for line in artifact("pipeline")["data"].splitlines() if line.startswith(("| stage", "| region"))]
    assert len(heads) == 4
    assert all(head.count("|") <= 9 for head in heads)  # more are cut off beside the dashboard's side panel

    _mlflow_has_the_training_and_no_case(rows)
    _again_does_nothing_twice(done, parameters, rows)


def _mlflow_has_the_training_and_no_case(rows):
    client = MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name("kits").experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["training_cases"] == "6"
    assert found.data.params["filters"] == str(CONFIG.filters)
    for name in ("loss", "tumor_dice"):
        stored = rows(f"SELECT epoch, value FROM epoch_metric WHERE name = '{name}' ORDER BY epoch")
        assert [(metric.step, metric.value) for metric in client.get_metric_history(found.info.run_id, name)] == stored
    said = str(found.to_dictionary())
    assert "case_0" not in said
    assert str(Settings().home) not in said


def _the_models_folder_tells_where_it_comes_from(rows):
    ((path, sha256),) = rows("SELECT path, sha256 FROM model")
    folder = Settings().absolute(path).parent
    assert sha256_of(Settings().absolute(path)) == sha256
    assert TrainingConfig.from_stored(json.loads((folder / "config.json").read_text())) == CONFIG
    assert Recipe.from_stored(json.loads((folder / "recipe.json").read_text())) == RECIPE
    assert json.loads((folder / "environment.json").read_text())["keras"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert sha256 in card
    assert "6 cases for training, 2 for validation" in card
    assert len(list((folder / "tensorboard").iterdir())) == 1


def _again_does_nothing_twice(done, parameters, rows):
    """The same pipeline once more: no file is made again, no row is added."""
    home = Settings().home
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*.nii")}
    counts = rows(
        "SELECT (SELECT COUNT(*) FROM case_score), (SELECT COUNT(*) FROM model), (SELECT COUNT(*) FROM split)"
    )
    again = pipeline(parameters)
    assert again.evaluation_id == done.evaluation_id
    assert again.scores == done.scores
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*.nii")} == before
    assert rows(COUNTS) == counts
    noted = done.report.read_text(encoding="utf-8") + "<!-- my note -->"
    done.report.write_text(noted, encoding="utf-8")
    evaluate(EvaluateParameters(model="latest"))
    assert "my note" not in done.report.read_text(encoding="utf-8")
    assert done.report.with_name("evaluation_00001.kept-1.html").read_text(encoding="utf-8") == noted


def test_what_is_missing_before_a_stage_is_said(prefect_api, home):
    with pytest.raises(KitsError, match="the catalog has: none; name one of these, or run kits ingest"):
        prepare(PrepareParameters(recipe=RECIPE))
    with pytest.raises(KitsError, match="expected model champion in the catalog, got none; run kits train"):
        evaluate(EvaluateParameters())
    with pytest.raises(KitsError, match="run kits ingest"):
        train(TrainParameters(recipe=RECIPE, config=CONFIG))
