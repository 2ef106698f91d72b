import json
import shutil
from functools import partial

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy.ndimage import binary_dilation
from sqlalchemy import select, text

from db.engine import catalog_session, open_catalog
from db.models import RunStatus, Split
from db.queries import training
from db.queries.prepare import ensure_recipe
from db.settings import Settings
from deployments.cli import main
from flows.correct import correct
from flows.ingest import ingest
from flows.parameters import CorrectParameters, IngestParameters, SplitParameters
from flows.split import split
from kits_core.files import sha256_of
from kits_core.inference.predict import Segmenter
from kits_core.network.config import TrainingConfig
from kits_core.phantom.dataset import write_phantoms
from kits_core.recipe import Recipe
from kits_core.source.transfer import TransferPolicy
from tasks import source

PAINTED_RECIPE = Recipe(shape=32)
_DRAWN = ("test_pipeline", "test_export_predictions")


@pytest.fixture(autouse=True)
def _undrawn_but_in_these(request):
    if not request.module.__name__.endswith(_DRAWN):
        request.getfixturevalue("undrawn")


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """Eight small phantom patients in the official layout."""
    root = tmp_path_factory.mktemp("phantoms")
    write_phantoms(root, 8, 3, shape=(24, 64, 64), spacing_mm=(8.0, 5.0, 5.0))
    return root


@pytest.fixture
def rows(home):
    """Ask the catalog of the test's home."""

    def ask(query):
        with open_catalog(Settings()).connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    return ask


@pytest.fixture
def artifact(api):
    """The newest artifact of a key, as the server has it: the session's tests share that server and their keys."""

    def latest(key):
        body = {"artifacts": {"key": {"any_": [key]}}}
        (found,) = api.post("artifacts/latest/filter", json=body).raise_for_status().json()
        return found

    return latest


@pytest.fixture
def hasty(monkeypatch):
    """Transfers that wait a moment where they would wait seconds."""
    monkeypatch.setattr(
        "tasks.source.TransferPolicy",
        partial(
            TransferPolicy,
            backoff_s=0.02,
            longest_backoff_s=0.1,
            read_s=2.0,
            stall_window_s=0.5,
            least_bytes_per_s=20_000,
        ),
    )
    source._transfer.cache_clear()
    yield
    source._transfer.cache_clear()


class Painted:
    """A network that always finds two kidneys, and as likely as `sure` a tumour at the outside of the right one."""

    deep_supervision = False

    def __init__(self, sure):
        self.sure = sure

    def predict_on_batch(self, images):
        shape = images.shape[1:4]
        at = np.stack(np.meshgrid(*((np.arange(n) + 0.5) / n for n in shape), indexing="ij"), axis=-1)
        kidney, tumor = (
            np.min([np.linalg.norm(at - centre, axis=-1) for centre in centres], axis=0) < radius
            for centres, radius in (([(0.34, 0.5, 0.5), (0.66, 0.5, 0.5)], 0.1), ([(0.74, 0.5, 0.5)], 0.07))
        )
        tumor_share = np.where(tumor, self.sure, 0.0)
        kidney_share = np.where(kidney | tumor, 1 - tumor_share, 0.0)
        return np.stack([1 - kidney_share - tumor_share, kidney_share, tumor_share], axis=-1)[None].astype(np.float32)


@pytest.fixture(scope="session")
def painted_home(phantoms, prefect_api, tmp_path_factory):
    """A home with three models: two of the whole scan, one of the kidneys. Not to be changed.

    Their networks are `Painted`, so nothing is trained: a file of some bytes stands for each checkpoint.
    """
    home = tmp_path_factory.mktemp("painted")
    kidneys = PAINTED_RECIPE.model_copy(update={"frame": "kidneys"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KITS_HOME", str(home))
        ingest(IngestParameters(source=str(phantoms), dataset="phantoms"))
        split(SplitParameters())
        with catalog_session(Settings()) as session:
            split_id = session.scalars(select(Split.id)).one()
            for number, recipe in enumerate((PAINTED_RECIPE, PAINTED_RECIPE, kidneys), start=1):
                _register(session, home, recipe, split_id, number)
    return home


def _register(session, home, recipe, split_id, number):
    """A finished run and its model."""
    stored = ensure_recipe(session, recipe.hash, recipe.to_stored(), None)
    config = TrainingConfig(seed=number)
    run = training.find_or_open_run(
        session, recipe_id=stored.id, split_id=split_id, config=config.to_stored(),
        config_hash=config.hash, prepared=[], flow_run_id=None,
    )  # fmt: skip
    training.record_epoch(session, run.id, 1, {"loss": 0.5, "kidney_dice": 0.6, "tumor_dice": 0.4, "score": 0.5})
    path = home / "runs" / f"run_{run.id:05d}" / "best_epoch_00001.keras"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes([number]))
    model = training.register_model(
        session, run.id, epoch=1, path=str(path.relative_to(home)), sha256=sha256_of(path), score=0.5 - number / 10,
        parameters=9, flow_run_id=None,
    )  # fmt: skip
    training.end_run(session, run.id, RunStatus.COMPLETED)
    training.promote_the_first(session, model, least_dice=0.1)


@pytest.fixture
def painted():
    """The class of the networks."""
    return Painted


@pytest.fixture
def networks(monkeypatch):
    """By the digits of a run's folder what stands in for its network; all sure of the tumour unless told otherwise."""
    sure = {"00001": 1.0, "00002": 1.0, "00003": 1.0}

    def load(path, _sha256, recipe):
        return Segmenter(Painted(sure[path.parent.name.removeprefix("run_")]), recipe)

    monkeypatch.setattr("tasks.models._load", load)
    return sure


@pytest.fixture
def begun(painted_home, networks, home):
    """A copy of the home, the test's own."""
    shutil.copytree(painted_home, home, dirs_exist_ok=True)
    return home


@pytest.fixture
def scan(phantoms):
    return phantoms / "case_00000" / "imaging.nii.gz"


@pytest.fixture(scope="session")
def write_series():
    """Writes a DICOM series of a NIfTI file."""
    return _write_series


def _write_series(source, folder, modality="CT", **others):
    """A DICOM series of a NIfTI file, a slice a file. `others`: further tags, by `0010|0030` written as `t00100030`."""
    folder.mkdir()
    image = sitk.Cast(sitk.ReadImage(str(source)), sitk.sitkInt16)
    direction = image.GetDirection()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number in range(image.GetDepth()):
        piece = image[:, :, number]
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0008|0018": f"1.2.3.4.{number + 1}", "0008|0060": modality,
            "0020|000d": "1.2.3.1", "0020|000e": "1.2.3.2", "0020|0052": "1.2.3.3", "0020|0013": str(number + 1),
            "0020|0032": "\\".join(map(str, image.TransformIndexToPhysicalPoint((0, 0, number)))),
            "0020|0037": "\\".join(str(direction[at]) for at in (0, 3, 6, 1, 4, 7)),
            "0028|1052": "0", "0028|1053": "1", "0010|0010": "Test", "0010|0020": "1",
            "0008|0020": "20260101", "0008|0030": "120000",
        }  # fmt: skip
        for tag, value in (tags | {f"{name[1:5]}|{name[5:]}": value for name, value in others.items()}).items():
            piece.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{number:04d}.dcm"))
        writer.Execute(piece)
    return folder


@pytest.fixture
def kits(home, capsys, monkeypatch):
    """Runs a verb in this process, as `kits` does; gives what it printed, errors too."""

    def run(*words, status=0):
        monkeypatch.setattr("sys.argv", ["kits", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert (ended.value.code or 0) == status, printed.out + printed.err
        return printed.out + printed.err

    return run


class Hand:
    """A person who corrects masks, and what the catalog has of that. `rows`: asks the catalog."""

    def __init__(self, rows):
        self.rows = rows

    def correct(self, what, mask, **others):
        return correct(CorrectParameters(what=str(what), mask=str(mask), by="Dr X", **others))

    def drawn(self, reference, target, *, grow=1):
        """The labels of a NIfTI with a larger tumour, written by ITK as 3D Slicer and ITK-SNAP write it."""
        image = sitk.ReadImage(str(reference))
        labels = sitk.GetArrayFromImage(image)
        labels[binary_dilation(labels == 2, iterations=grow)] = 2
        corrected = sitk.GetImageFromArray(labels)
        corrected.CopyInformation(image)
        if target.name.endswith(".seg.nrrd"):
            for number, name in enumerate(("Kidney", "Tumor", "Cyst")):
                corrected.SetMetaData(f"Segment{number}_Name", name)
                corrected.SetMetaData(f"Segment{number}_LabelValue", str(number + 1))
        sitk.WriteImage(corrected, str(target), useCompression=True)
        return target

    def versions(self, dataset="phantoms", case="case_00000"):
        """Of a case's segmentation: number, whether it is the newest, notes."""
        found = self.rows(
            f"SELECT f.version, f.superseded_at IS NULL, f.notes FROM {self._segmentations(dataset, case)} ORDER BY 1"
        )
        return [(version, bool(newest), json.loads(notes)) for version, newest, notes in found]

    def labels(self, dataset, case):
        """Voxels of the newest segmentation."""
        newest = f"{self._segmentations(dataset, case)} AND f.superseded_at IS NULL"
        ((path,),) = self.rows(f"SELECT f.path FROM {newest}")
        return nib.load(Settings().absolute(path)).get_fdata()

    @staticmethod
    def _segmentations(dataset, case):
        return (
            'case_file f JOIN "case" c ON c.id = f.case_id JOIN dataset d ON d.id = c.dataset_id '
            f"WHERE d.name = '{dataset}' AND c.name = '{case}' AND f.kind = 'segmentation'"
        )


@pytest.fixture
def hand(rows):
    return Hand(rows)
