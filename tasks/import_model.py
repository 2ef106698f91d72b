"""Takes another home's model file into this home and its catalog. Keras is imported to load it once."""

import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Model, RunStatus, TrainingRun
from db.models.base import now
from db.queries import training as queries
from db.queries.prepare import ensure_recipe
from db.settings import Settings, current_settings
from kits_core.errors import KitsError
from kits_core.files import PARTIAL_SUFFIX, sha256_of, sync_folder
from kits_core.model_file import CONFIG, FOLDERS, NETWORK, RECIPE, ModelFile, ModelRecord, open_model_file
from kits_core.network.config import TrainingConfig
from kits_core.recipe.recipe import Recipe
from tasks.catalog import catalog, reading
from tasks.incoming import locked


@dataclass(frozen=True)
class ImportedModel:
    """`model_id`: of the file's main model. `locator_id`: of the model that finds the kidneys for it.

    `origin`: where it comes from, in words.
    """

    model_id: int
    run_id: int
    locator_id: int | None
    origin: str


@dataclass(frozen=True)
class _Incoming:
    record: ModelRecord
    recipe: Recipe
    recipe_stored: dict[str, Any]
    config: TrainingConfig
    config_stored: dict[str, Any]

    def folder(self, settings: Settings) -> Path:
        return settings.runs / FOLDERS.replace("*", self.record.sha256[:16])


def import_model(path: Path) -> ImportedModel:
    """Import a model file, whole or not at all: first its files, then all rows. It does not become the champion.

    Raises `KitsError` for a file that is damaged, of a newer release or no model file, for a network that cannot be
    loaded safely, and for a model that is here already.
    """
    settings = current_settings()
    digest = sha256_of(path) if path.is_file() else ""
    with ExitStack() as stack:
        file = stack.enter_context(open_model_file(path))
        incoming = {number: _read(path, file, number) for number in file.numbers}
        settings.runs.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(settings.runs, wait=True))
        new = _those_that_are_new(path, incoming)
        _check_locators(path, incoming)
        for number in new:
            _put_files(settings, file, number, incoming[number])
        with catalog() as session:
            rows = [_add(session, settings, incoming[number], digest) for number in new]
            last, *_ = reversed(rows)
            locator = last.run.read_origin().locator  # type: ignore[union-attr]
            found = queries.model_of_sha256(session, locator).id if locator else None
            return ImportedModel(last.id, last.run_id, found, last.run.read_origin().sentence)  # type: ignore[union-attr]


def _read(path: Path, file: ModelFile, number: int) -> _Incoming:
    record = file.record(number)
    stored = {part: _object(path, part, file.text(number, part)) for part in (RECIPE, CONFIG)}
    try:
        recipe, config = Recipe.from_stored(stored[RECIPE]), TrainingConfig.from_stored(stored[CONFIG])
        newer = stored[RECIPE].get("code", 1) > Recipe.CODE or stored[CONFIG].get("code", 1) > TrainingConfig.CODE
    except (ValueError, TypeError) as error:
        raise KitsError(
            f"{path}: expected settings that kits knows, got others ({str(error)[:200]}); export the model again"
        ) from error
    if newer:
        raise KitsError(
            f"{path}: expected a model that code of this release can use, got one of a newer release; update this "
            "installation"
        )
    return _Incoming(record, recipe, stored[RECIPE], config, stored[CONFIG])


def _object(path: Path, part: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise KitsError(f"{path}: expected a JSON object in {part}, got something else; export the model again")
    return found


def _those_that_are_new(path: Path, incoming: dict[int, _Incoming]) -> list[int]:
    with reading() as session:
        known = {
            number: session.scalars(select(Model).where(Model.sha256 == one.record.sha256)).first()
            for number, one in incoming.items()
        }
        there = {number: model.id for number, model in known.items() if model is not None}
    last = max(incoming)
    if last in there:
        raise KitsError(
            f"{path}: expected a model that is not here yet, got model {there[last]}, the same to the last bit; "
            f"nothing was changed: kits predict --model {there[last]} uses it"
        )
    return [number for number in incoming if number not in there]


def _check_locators(path: Path, incoming: dict[int, _Incoming]) -> None:
    """Raise `KitsError` where a network needs another that is not in the file."""
    hashes = {one.record.sha256 for one in incoming.values()}
    for one in incoming.values():
        wanted = one.recipe.locator or one.record.origin.locator
        if one.recipe.frame == "kidneys" and (wanted is None or wanted not in hashes):
            raise KitsError(
                f"{path}: expected the model that finds the kidneys ({wanted}) beside the one that needs it, got "
                "none; export the model again"
            )


def _put_files(settings: Settings, file: ModelFile, number: int, one: _Incoming) -> None:
    """The files of a model, checked, under their final name; what a killed import left there is replaced."""
    folder = one.folder(settings)
    aside = folder.with_name(f"{folder.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    try:
        aside.mkdir()
        file.unpack(number, aside)
        _check_network(aside / NETWORK, one)
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
        sync_folder(settings.runs)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check_network(path: Path, one: _Incoming) -> None:
    from kits_core.network.checkpoint import load_network  # noqa: PLC0415 - imports TensorFlow

    network = load_network(path)
    found = (network.count_params(), network.get_config()["shape"])
    if found != (wanted := (one.record.parameters, one.recipe.shape)):
        raise KitsError(
            f"{path.name}: expected a network of {wanted[0]} parameters for {wanted[1]} voxels a side, got "
            f"{found[0]} for {found[1]}; export the model again"
        )


def _add(session: Session, settings: Settings, one: _Incoming, digest: str) -> Model:
    record = one.record
    recipe = ensure_recipe(session, Recipe.hash_of_stored(one.recipe_stored), one.recipe_stored, None)
    origin = record.origin.model_copy(update={"imported_at": f"{now():%Y-%m-%d %H:%M UTC}", "file": digest})
    run = TrainingRun(
        recipe_id=recipe.id,
        config=one.config_stored,
        config_hash=TrainingConfig.hash_of_stored(one.config_stored),
        data_hash=record.data_hash,
        status=RunStatus.COMPLETED,
        environment=record.environment,
        started_at=record.started_at,
        ended_at=record.ended_at,
        imported=origin.model_dump(mode="json"),
        forgotten_cases=origin.forgotten_cases,
    )
    session.add(run)
    session.flush()
    for values in record.history:
        measured = {name: value for name, value in values.items() if name != "epoch"}
        queries.record_epoch(session, run.id, int(values["epoch"]), measured)
    return queries.register_model(
        session,
        run.id,
        epoch=record.epoch,
        path=settings.relative(one.folder(settings) / NETWORK),
        sha256=record.sha256,
        score=record.score,
        parameters=record.parameters,
        flow_run_id=None,
    )
