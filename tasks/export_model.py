"""A model of the catalog as one file that another home takes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import Model
from db.models.base import now
from db.queries.evaluation import validated_cleanup
from db.queries.training import find_model, history
from db.settings import current_settings
from kits_core.model_file import (
    CARD,
    CONFIG,
    FLIPPED,
    NETWORK,
    PLAIN,
    RANGE,
    RECIPE,
    RECORD,
    ModelRecord,
    Origin,
    Parts,
    write_model_file,
)
from kits_core.report.card import model_card
from kits_core.report.methods import Lineage
from tasks.catalog import reading
from tasks.models import check_checkpoint, locator_of
from tasks.report import lineage_of
from tasks.training_range import range_of


@dataclass(frozen=True)
class ExportedModel:
    """`models`: numbers of the models in the file. The last is the exported one; it needs the others."""

    file: str
    models: tuple[int, ...]
    bytes: int


def export_model(wanted: str, out: Path, warn: Callable[[str], None]) -> ExportedModel:
    """Write a model to the file `out`, with the one that finds the kidneys for it, if it needs one.

    `warn` is called with messages about missing parts. Raises `KitsError` for a missing model and a changed checkpoint.
    """
    with reading() as session:
        model = find_model(session, wanted)
        locator = locator_of(session, model, held_out=False)
        ids = [one.id for one in (locator, model) if one is not None]
    for number in ids:
        range_of(number, warn)
    with reading() as session:
        models = [session.get_one(Model, number) for number in ids]
        parts = [_parts(session, one, models[0] if one is not models[0] else None) for one in models]
        write_model_file(out, parts, _software())
    return ExportedModel(str(out), tuple(ids), out.stat().st_size)


def _parts(session: Session, model: Model, locator: Model | None) -> Parts:
    path = current_settings().absolute(model.path)
    check_checkpoint(path, model.sha256)
    run, origin = model.run, _origin(session, model, locator)
    record = ModelRecord(
        sha256=model.sha256,
        data_hash=run.data_hash,
        epoch=model.epoch,
        score=model.score,
        parameters=model.parameters,
        environment=run.environment,
        history=tuple(
            {name: value for name, value in row.items() if value == value}  # noqa: PLR0124 - leaves NaN out
            for row in history(session, run.id).to_dict("records")
        ),
        started_at=run.started_at,
        ended_at=run.ended_at,
        origin=origin,
    )
    beside = {name: file for name in (RANGE,) if (file := path.with_name(name)).is_file()}
    return {
        NETWORK: path,
        RECORD: record.model_dump_json(indent=2),
        RECIPE: json.dumps(run.recipe.settings, indent=2),
        CONFIG: json.dumps(run.config, indent=2),
        CARD: model_card(replace(lineage_of(session, model), source=origin.source), run.data_hash),
        **beside,
    }


def _origin(session: Session, model: Model, locator: Model | None) -> Origin:
    known = model.run.read_origin()
    scores, made = _scores(session, model), {"software": _software(), "exported_at": f"{now():%Y-%m-%d %H:%M UTC}"}
    if known is not None:  # its origin stays the home where it was trained
        return known.model_copy(update={**made, "scores": (*known.scores, *scores), "imported_at": None, "file": None})
    lineage = lineage_of(session, model)
    rules = {
        name: chosen
        for name, flips in ((PLAIN, False), (FLIPPED, True))
        if (chosen := validated_cleanup(session, model.id, flips=flips)) is not None
    }
    return Origin(
        dataset=lineage.dataset,
        source=_public(lineage),
        licence=lineage.licence,
        train_cases=lineage.train_cases,
        validation_cases=lineage.validation_cases,
        split_seed=lineage.split_seed,
        split_hash=lineage.split_hash,
        strata=lineage.strata,
        run_id=model.run_id,
        model_id=model.id,
        forgotten_cases=model.run.forgotten_cases,
        locator=locator.sha256 if locator is not None and model.run.recipe.read().frame == "kidneys" else None,
        cleanup=rules,
        scores=tuple(scores),
        **made,
    )


def _public(lineage: Lineage) -> str:
    """Where the cases came from, without parts of a path or address that may identify people and machines."""
    if lineage.licence:
        return "KiTS"
    return "a web address" if lineage.source.startswith(("http://", "https://")) else "a folder"


def _scores(session: Session, model: Model) -> list[dict[str, Any]]:
    query = text("SELECT * FROM leaderboard WHERE model_id = :id AND status = 'completed' ORDER BY evaluation_id")
    rows = session.execute(query, {"id": model.id}).mappings()
    return [{name: value for name, value in row.items() if name != "is_champion"} for row in rows]


def _software() -> str:
    return f"kits-platform {version('kits-platform')}"
