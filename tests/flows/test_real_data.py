import numpy as np
import pytest

from db.settings import Settings
from flows.ingest import ingest
from flows.parameters import IngestParameters, PipelineParameters, PrepareParameters
from flows.pipeline import pipeline
from flows.prepare import prepare
from kits_core.geometry import read_volume
from kits_core.network.config import TrainingConfig
from kits_core.phantom.dataset import paint_masks
from kits_core.recipe import Recipe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]


def test_three_real_masks_painted_at_full_resolution_go_the_whole_way(real_masks, tmp_path, home, rows):
    smallest = sorted(real_masks.glob("case_*/segmentation.nii.gz"), key=lambda path: path.stat().st_size)[:3]
    paint_masks(real_masks, tmp_path / "source", [path.parent.name for path in smallest], seed=1)
    done = pipeline(
        PipelineParameters(
            source=str(tmp_path / "source"),
            validation=0.34,
            recipe=Recipe(shape=32),
            config=TrainingConfig(epochs=1, batch_size=1, filters=4),
        )
    )
    assert rows("SELECT COUNT(*) FROM case_overview WHERE sex IS NOT NULL AND tumor_ml > 0") == [(3,)]
    ((kept,),) = rows("SELECT MIN(tumor_kept) FROM prepared_case")
    assert kept == 1.0
    ((name,),) = rows("SELECT DISTINCT case_name FROM case_metric_wide")
    prediction = read_volume(next(Settings().predictions.rglob("*.nii.gz")))
    reference = read_volume(Settings().raw / "source" / name / "segmentation.nii")
    assert prediction.shape == reference.shape
    np.testing.assert_array_equal(prediction.affine, reference.affine)
    assert done.report.is_file()


def test_a_real_scan_without_a_segmentation_is_ingested_and_prepared(real_scan, tmp_path, home, rows):
    case = tmp_path / "hospital" / "case_00000"
    case.mkdir(parents=True)
    (case / "imaging.nii.gz").symlink_to(real_scan)
    assert ingest(IngestParameters(source=str(tmp_path / "hospital"))).brought_in == 1
    assert rows("SELECT dtype, orientation FROM case_file") == [("int16", "RAS")]
    assert prepare(PrepareParameters(recipe=Recipe(shape=64))).prepared == 1
    ((path, labels),) = rows("SELECT image_path, label_path FROM prepared_case")
    prepared = read_volume(Settings().absolute(path))
    assert prepared.shape == (64, 64, 64)
    assert labels is None
    assert prepared.data.max() > 500  # bone
