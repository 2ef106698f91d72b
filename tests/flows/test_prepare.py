import json
import shutil

import numpy as np
import pytest

from db.settings import Settings
from flows.ingest import ingest
from flows.parameters import IngestParameters, PrepareParameters, SplitParameters
from flows.prepare import prepare
from flows.split import split
from kits_core.errors import KitsError
from kits_core.geometry import Volume, read_volume, write_volume
from kits_core.recipe import Recipe

pytestmark = pytest.mark.usefixtures("prefect_api", "home")

RECIPE = Recipe(shape=32)


@pytest.fixture
def ingested(phantoms, prefect_api, home):
    """Eight phantoms in the catalog."""
    return ingest(IngestParameters(source=str(phantoms), dataset="phantoms"))


def _segmentation(case):
    return Settings().raw / "phantoms" / case / "segmentation.nii"


def test_what_it_left_and_cost_is_in_sql_for_every_case(ingested, rows, artifact):
    prepare(PrepareParameters(recipe=RECIPE))
    found = rows(
        "SELECT p.kidney_kept, p.tumor_kept, p.kidney_ml / before.ml, p.seconds, p.peak_bytes FROM prepared_case p "
        "JOIN label_volume before ON before.case_id = p.case_id AND before.label = 1"
    )
    assert len(found) == 8
    for kidney, tumor, volume, seconds, peak in found:
        assert kidney == tumor == 1.0
        assert 0.8 < volume < 1.2
        assert 0 < seconds < 60
        assert 20e6 < peak < 1e9
    assert rows("SELECT metric, region, COUNT(*) FROM ceiling WHERE region = 'tumor' GROUP BY 1, 2") == [
        ("dice", "tumor", 8),
        ("surface_dice", "tumor", 8),
    ]
    on_disk = sum(file.stat().st_size for file in Settings().prepared.rglob("*.nii"))
    assert rows("SELECT cases, bytes, cases_without_size FROM disk_usage WHERE stage = 'prepared'") == [(8, on_disk, 0)]
    text = artifact("prepare")["data"]
    assert text.count("data:image/png;base64,") == 2
    assert text.count("| case_0") == 8


def test_only_what_is_missing_or_has_changed_is_made_again(ingested, rows):
    assert prepare(PrepareParameters(recipe=RECIPE)).made_now == 8
    assert prepare(PrepareParameters(recipe=RECIPE)).made_now == 0
    shutil.rmtree(Settings().prepared / RECIPE.hash / "phantoms" / "case_00002")
    assert prepare(PrepareParameters(recipe=RECIPE)).made_now == 1
    assert prepare(PrepareParameters(recipe=Recipe(shape=32, cyst_to="tumor"))).made_now == 8
    assert rows("SELECT COUNT(*) FROM recipe") == [(2,)]


def test_whatever_else_fails_fails_the_flow_when_all_others_are_done_and_the_next_run_goes_on(ingested, rows, artifact):
    path = _segmentation("case_00005")
    good = path.read_bytes()
    path.write_bytes(good[:1000])
    state = prepare(PrepareParameters(recipe=RECIPE, allowed_failures=1), return_state=True)
    assert state.is_failed()
    assert "phantoms: expected network inputs of 8 cases, got none of 1 (first: case_00005: " in state.message
    assert "run prepare again, which goes on from here" in state.message
    assert "## Failed: 1\n\n| case | reason |\n|---|---|\n| case_00005 |" in artifact("prepare")["data"]
    assert rows("SELECT COUNT(*) FROM prepared_case") == [(7,)]
    assert rows("SELECT case_name, stage FROM open_problem") == [("case_00005", "prepare")]
    path.write_bytes(good)
    done = prepare(PrepareParameters(recipe=RECIPE))
    assert (done.prepared, done.made_now) == (8, 1)
    assert rows("SELECT * FROM open_problem") == []


def test_a_case_that_is_refused_is_named_with_the_reason_and_the_others_go_on(ingested, rows, artifact):
    path = _segmentation("case_00003")
    good = path.read_bytes()
    volume = read_volume(path)
    write_volume(path, Volume(np.full(volume.shape, 7, np.uint8), volume.affine))
    with pytest.raises(
        KitsError,
        match=r"phantoms: expected at most 5% of 8 cases to be refused, got 1 \(first: case_00003: expected labels",
    ):
        prepare(PrepareParameters(recipe=RECIPE))
    state = prepare(PrepareParameters(recipe=RECIPE, allowed_failures=0.2), return_state=True)
    done = state.result()
    assert (done.prepared, done.made_now, done.refused) == (7, 0, 1)
    assert state.is_completed()
    assert state.message.startswith("Completed with problems: 1 of 8 cases refused (first: case_00003: expected")
    ((case, stage, error),) = rows("SELECT case_name, stage, error FROM open_problem")
    assert (case, stage) == ("case_00003", "prepare")
    assert error.startswith("case_00003: expected labels from 0 to 3, got 7 to 7")
    text = artifact("prepare")["data"]
    assert "## Refused: 1\n\n| case | reason |\n|---|---|\n| case_00003 | case_00003: exp" in text
    path.write_bytes(good)
    assert prepare(PrepareParameters(recipe=RECIPE)).prepared == 8
    assert rows("SELECT COUNT(*) FROM open_problem") == [(0,)]


def test_a_case_whose_image_has_left_the_catalog_is_refused_at_once(ingested, rows):
    from db.engine import catalog_session
    from db.models import CaseFile, FileKind
    from db.models.base import now

    with catalog_session(Settings()) as session:
        file = session.query(CaseFile).filter(CaseFile.kind == FileKind.IMAGE).first()
        file.superseded_at = now()
        name = file.case.name
    done = prepare(PrepareParameters(recipe=RECIPE, allowed_failures=0.2), return_state=True).result()
    assert (done.prepared, done.refused) == (7, 1)
    assert rows("SELECT case_name, attempts, error FROM open_problem") == [
        (name, 1, f"{name}: expected its image in the catalog, got none; bring it in with kits ingest")
    ]


def test_the_gate_stops_where_a_tumour_is_cut_off(ingested, rows):
    prepare(PrepareParameters(recipe=RECIPE))
    from db.engine import catalog_session
    from db.models import PreparedCase

    with catalog_session(Settings()) as session:
        row = session.query(PreparedCase).first()
        row.tumor_kept = 0.98
        name = row.case.name
    with pytest.raises(KitsError, match=f"{name}: expected at least 99% of the tumour inside the grid, got 98.0%"):
        prepare(PrepareParameters(recipe=RECIPE))
    assert prepare(PrepareParameters(recipe=RECIPE, least_tumor_kept=0.9)).prepared == 8


def test_two_scans_of_a_patient_never_part_and_a_split_that_parts_them_is_refused(ingested, rows):
    from db.engine import catalog_session
    from db.models import ClinicalRecord, SplitMember, Subset

    with catalog_session(Settings()) as session:
        for number, record in enumerate(session.query(ClinicalRecord).order_by(ClinicalRecord.case_id)):
            record.patient_id = f"patient {number // 2}"
    made = split(SplitParameters(dataset="phantoms", validation=0.25))
    assert (made.train, made.validation) == (6, 2)
    pairs = rows(
        "SELECT r.patient_id FROM split_member m JOIN clinical_record r ON r.case_id = m.case_id "
        "WHERE m.subset = 'validation'"
    )
    assert len(set(pairs)) == 1
    with catalog_session(Settings()) as session:
        member = session.query(SplitMember).filter(SplitMember.subset == Subset.VALIDATION).first()
        member.subset = Subset.TRAIN
    with pytest.raises(
        KitsError, match="expected training and validation to share no patient, got the same one in case"
    ):
        split(SplitParameters(dataset="phantoms", validation=0.25))


def test_cases_are_prepared_by_the_recipe_of_a_model(begun, rows):
    recipe = rows("SELECT r.settings FROM recipe r JOIN training_run t ON t.recipe_id = r.id WHERE t.id = 1")
    done = prepare(PrepareParameters(for_model="1"))
    assert done.recipe_hash == Recipe.from_stored(json.loads(recipe[0][0])).hash
    with pytest.raises(KitsError, match="expected model 99 in the catalog, got none"):
        prepare(PrepareParameters(for_model="99"))
