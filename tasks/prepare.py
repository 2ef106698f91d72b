"""Cases onto a recipe's grid, one by one."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task

from db.models import Case, CaseStatus, FileKind, PreparedCase
from db.models import Recipe as RecipeRow
from db.queries import ingest as ingest_queries
from db.queries import prepare as queries
from db.queries.training import model_of_sha256
from db.settings import Settings, current_settings
from kits_core.case_names import folder_name
from kits_core.disk import check_room, naming_a_full_disk
from kits_core.errors import why
from kits_core.geometry import GridMap, read_volume
from kits_core.geometry.body import Box
from kits_core.inference.predict import find_kidneys
from kits_core.labels import Label
from kits_core.recipe import Recipe
from kits_core.recipe.prepare import PreparedCase as Prepared
from kits_core.recipe.prepare import prepare_case as prepare
from kits_core.report.sections import Section, ceiling_sections
from tasks.catalog import catalog, file_of, flow_run_id, reading
from tasks.isolated import run_isolated
from tasks.models import one_prediction, segmenter_of
from tasks.policy import CATALOG, COMPUTE

STAGE = "prepare"


@dataclass(frozen=True)
class CaseToPrepare:
    """A case whose prepared files are missing or were made from other raw files."""

    case_id: int
    name: str
    dataset: str


@dataclass(frozen=True)
class PreparationPlan:
    """What a preparation will do."""

    dataset_id: int
    dataset: str
    recipe_id: int
    ingested: int
    missing: list[CaseToPrepare]


@task(name="plan-preparation", **CATALOG)
def plan_preparation(dataset: str | None, recipe: Recipe) -> PreparationPlan:
    """Note the recipe in the catalog and find the ingested cases that have no current prepared files."""
    settings = current_settings()
    with catalog() as session:
        row = ingest_queries.find_dataset(session, dataset)
        recipe_row = queries.ensure_recipe(session, recipe.hash, recipe.to_stored(), flow_run_id())
        cases = ingest_queries.cases_of(session, row.id, CaseStatus.INGESTED)
        known = queries.current_of(session, recipe_row.id)
        missing = [
            CaseToPrepare(case.id, case.name, row.name)
            for case in cases
            # Without a reference the place of the kidneys is unknown: prediction asks a model, and prepares by itself.
            if (recipe.frame == "volume" or recipe.locator or case.has_segmentation)
            and (case.id not in known or not files_are_there(settings, known[case.id]))
        ]
        return PreparationPlan(row.id, row.name, recipe_row.id, len(cases), missing)


@task(name="prepare-case", task_run_name="{case.name} · prepare", **COMPUTE)
def prepare_case(case: CaseToPrepare, recipe: Recipe, recipe_id: int, workers: int) -> None:
    """Resample one case in one of `workers` processes, write its files and then its row."""
    settings = current_settings()
    with noting_problems(case.case_id, case.name, STAGE):
        check_room(settings.prepared, _bytes_of(recipe), f"the network inputs of {case.name}")
        with reading() as session:
            row = session.get_one(Case, case.case_id)
            image, segmentation = file_of(row, FileKind.IMAGE), row.file(FileKind.SEGMENTATION)
        image_path = settings.absolute(image.path)
        segmentation_path = settings.absolute(segmentation.path) if segmentation else None
        folder = settings.prepared / recipe.hash / case.dataset / folder_name(case.name)
        kidneys = _locate(case.name, image_path, recipe)
        done = run_isolated(
            workers, partial(prepare, case.name, image_path, segmentation_path, recipe, folder, kidneys=kidneys)
        )
        facts = _facts(settings, done.result) | {
            "peak_bytes": done.peak_bytes,
            "source_image_sha256": image.sha256,
            "source_segmentation_sha256": segmentation.sha256 if segmentation else None,
        }
        with catalog() as session:
            queries.record_prepared(
                session, recipe_id=recipe_id, case_id=case.case_id, facts=facts, ceilings=done.result.ceilings
            )
            ingest_queries.resolve_problems(session, case.case_id, STAGE)


def _locate(name: str, image_path: Path, recipe: Recipe) -> Box | None:
    """Where the recipe's locator finds the kidneys; None for a recipe without one."""
    if recipe.locator is None:
        return None
    with reading() as session:
        locator = segmenter_of(current_settings(), model_of_sha256(session, recipe.locator))
    with one_prediction:
        return find_kidneys(name, read_volume(image_path), locator, recipe.margin_mm)


@task(name="draw-ceilings", **COMPUTE)
def draw_ceilings(plan: PreparationPlan, captions: Mapping[str, str], workers: int) -> bytes:
    """A picture of cases (names to captions): the reference, and what a perfect model would give through the recipe."""
    from kits_core.report.figures import case_slices  # noqa: PLC0415 - seaborn takes a second

    settings = current_settings()
    with reading() as session:
        rows = {row.case.name: row for row in queries.prepared_of(session, plan.recipe_id).values()
                if row.case.dataset_id == plan.dataset_id}  # fmt: skip
        recipe = session.get_one(RecipeRow, plan.recipe_id).read()
        files = {
            name: [
                settings.absolute(file_of(rows[name].case, kind).path)
                for kind in (FileKind.IMAGE, FileKind.SEGMENTATION)
            ]
            for name in captions
        }

    def sections(name: str) -> list[Section]:
        grid = GridMap.from_json(rows[name].geometry)
        labels = settings.absolute(str(rows[name].label_path))
        return run_isolated(workers, ceiling_sections, *files[name], labels, recipe, grid).result

    with ThreadPoolExecutor(workers) as pool:
        return case_slices(pool.map(sections, captions), list(captions.values()), compared="a perfect model")


def check_room_for_all(plan: PreparationPlan, recipe: Recipe) -> None:
    """Raise `FullDiskError` where the network inputs that are missing do not fit."""
    needed = len(plan.missing) * _bytes_of(recipe)
    check_room(current_settings().prepared, needed, f"the network inputs of {len(plan.missing)} cases")


def _bytes_of(recipe: Recipe) -> int:
    """What a prepared case takes on disk: an image of int16 and labels of uint8."""
    return 3 * (recipe.shape + 2 * recipe.context) ** 3


@contextmanager
def noting_problems(case_id: int, name: str, stage: str) -> Iterator[None]:
    """Writes the reason into the catalog when the block fails."""
    try:
        with naming_a_full_disk(current_settings().home, f"what {stage} makes of {name}"):
            yield
    except Exception as error:
        reason = why(name, error)
        get_run_logger().warning("%s", reason)
        with catalog() as session:
            ingest_queries.record_problem(session, case_id, stage, reason, flow_run_id())
        raise


def files_are_there(settings: Settings, prepared: PreparedCase) -> bool:
    """Whether the files of a prepared case exist."""
    paths = (prepared.image_path, prepared.label_path)
    return all(settings.absolute(path).is_file() for path in paths if path is not None)


def _facts(settings: Settings, made: Prepared) -> dict[str, Any]:
    def stored(path: Path | None) -> str | None:
        return settings.relative(path) if path else None

    return {
        "image_path": stored(made.image_path),
        "image_sha256": made.image_sha256,
        "label_path": stored(made.label_path),
        "label_sha256": made.label_sha256,
        "bytes": sum(path.stat().st_size for path in (made.image_path, made.label_path) if path is not None),
        "geometry": made.grid.to_json(),
        "kidney_kept": made.kept.get(Label.KIDNEY),
        "tumor_kept": made.kept.get(Label.TUMOR),
        "cyst_kept": made.kept.get(Label.CYST),
        "kidney_ml": made.volumes_ml.get(Label.KIDNEY),
        "tumor_ml": made.volumes_ml.get(Label.TUMOR),
        "seconds": made.seconds,
        "flow_run_id": flow_run_id(),
    }
