import httpx
import pytest

from db.models import Base
from db.settings import Settings
from flows.evaluate import evaluate
from flows.parameters import EvaluateParameters, PipelineParameters, PrepareParameters, TrainParameters
from flows.pipeline import pipeline
from flows.prepare import prepare
from flows.train import train
from kits_core.errors import KitsError
from kits_core.network.config import TrainingConfig
from kits_core.phantom.server import DatasetServer
from kits_core.recipe import Recipe
from tasks.progress import listening

RECIPE = Recipe(shape=32)
COUNTS = "SELECT (SELECT COUNT(*) FROM case_metric), (SELECT COUNT(*) FROM model), (SELECT COUNT(*) FROM split)"
CONFIG = TrainingConfig(epochs=2, batch_size=2, filters=4, learning_rate=3e-3)


class Heard:
    """Keeps what is reported."""

    def __init__(self):
        self.stages = {}

    def update(self, stage, done, total, note):
        self.stages.setdefault(stage, []).append((done, total))


@pytest.fixture
def ran(phantoms, prefect_api, home):
    """One run of the whole pipeline on small phantoms: its result and what it reported."""
    heard = Heard()
    with DatasetServer(phantoms) as server, listening(heard):
        parameters = PipelineParameters(source=server.address, dataset="phantoms", recipe=RECIPE, config=CONFIG)
        yield pipeline(parameters), heard, parameters


def test_from_a_source_to_a_report_and_every_table_has_rows(ran, rows, prefect_api):
    done, heard, parameters = ran
    counts = {table: rows(f'SELECT COUNT(*) FROM "{table}"')[0][0] for table in Base.metadata.tables}
    assert [table for table, count in counts.items() if count == 0] == ["problem"]
    assert rows("SELECT subset, COUNT(*) FROM split_member GROUP BY subset ORDER BY 1") == [
        ("train", 6),
        ("validation", 2),
    ]
    assert rows("SELECT COUNT(*) FROM epoch_metric WHERE name = 'tumor_dice'") == [(2,)]
    assert rows("SELECT cases, is_champion FROM leaderboard") == [(2, 1)]
    assert rows("SELECT COUNT(*) FROM lineage WHERE archive_sha256 IS NOT NULL AND source_url LIKE 'http://127%'") == [
        (2,)
    ]

    # What is told is what the catalog says.
    ((tumor,),) = rows("SELECT AVG(dice) FROM case_metric_wide WHERE region = 'tumor'")
    shown = next(row for row in done.scores if row["region"] == "tumor")
    assert shown["Dice"] == f"{tumor:.3f}"
    assert f">{tumor:.3f}<" in done.report.read_text(encoding="utf-8")

    assert heard.stages["ingest"][-1] == (8, 8)
    assert heard.stages["train"][-1] == (6, 6)
    assert heard.stages["evaluate"][-1] == (2, 2)

    found = httpx.post(f"{prefect_api}/artifacts/filter", json={}).raise_for_status().json()
    artifacts = {artifact["key"]: artifact["data"] for artifact in found}
    assert {"ingest", "prepare", "split", "train", "evaluation", "training", "pipeline"} <= set(artifacts)
    assert f"| {tumor:.3f} |" in artifacts["evaluation"]
    assert "data:image/png;base64," in artifacts["evaluation"]

    _again_does_nothing_twice(done, parameters, rows)


def _again_does_nothing_twice(done, parameters, rows):
    """The same pipeline once more: no file is made again, no row is added."""
    home = Settings().home
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*.nii")}
    counts = rows(
        "SELECT (SELECT COUNT(*) FROM case_metric), (SELECT COUNT(*) FROM model), (SELECT COUNT(*) FROM split)"
    )
    again = pipeline(parameters)
    assert again.evaluation_id == done.evaluation_id
    assert again.scores == done.scores
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*.nii")} == before
    assert rows(COUNTS) == counts


def test_what_is_missing_before_a_stage_is_said(prefect_api, home):
    with pytest.raises(KitsError, match="the catalog has: none; name one of these, or run kits ingest"):
        prepare(PrepareParameters(recipe=RECIPE))
    with pytest.raises(KitsError, match="expected model champion in the catalog, got none; run kits train"):
        evaluate(EvaluateParameters())
    with pytest.raises(KitsError, match="run kits ingest"):
        train(TrainParameters(recipe=RECIPE, config=CONFIG))


KIDNEYS = Recipe(frame="kidneys", shape=32)


def test_a_network_of_the_kidneys_is_trained_on_references_and_evaluated_behind_one_of_the_whole_scan(ran, rows):
    whole, _, _ = ran
    made = prepare(PrepareParameters(recipe=KIDNEYS))
    assert (made.prepared, made.made_now, made.refused) == (8, 8, 0)
    trained = train(TrainParameters(recipe=KIDNEYS, config=CONFIG.model_copy(update={"epochs": 1})))
    done = evaluate(EvaluateParameters(model=str(trained.model_id)))
    assert rows(f"SELECT locator_id FROM evaluation WHERE id = {done.evaluation_id}") == [(whole.model_id,)]
    assert rows(f"SELECT locator_id FROM evaluation WHERE id = {whole.evaluation_id}") == [(None,)]
    assert rows(f"SELECT COUNT(DISTINCT case_id) FROM case_metric WHERE evaluation_id = {done.evaluation_id}") == [(2,)]
    assert evaluate(EvaluateParameters(model=str(trained.model_id))).scores == done.scores


def test_a_network_of_the_kidneys_needs_one_that_finds_them(phantoms, prefect_api, home):
    parameters = PipelineParameters(source=str(phantoms), dataset="phantoms", recipe=KIDNEYS, config=CONFIG)
    with pytest.raises(KitsError, match="run kits train --frame volume first"):
        pipeline(parameters)
