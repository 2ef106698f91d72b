"""The range of a model's training cases, to compare scans with. Measured once, and kept beside the model."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prefect import get_run_logger, task

from db.models import Case, FileKind, Model, Subset
from db.queries import split as split_queries
from db.settings import Settings, current_settings
from kits_core.files import write_text_atomically
from kits_core.model_file import RANGE
from kits_core.scan.features import describe_files
from kits_core.scan.range import Reference
from tasks.catalog import reading
from tasks.isolated import run_isolated
from tasks.policy import COMPUTE

_AT_ONCE = 2


@task(name="learn-range", task_run_name="model {model_id} · range of its training cases", **COMPUTE)
def learn_range(model_id: int) -> Reference:
    """What the training cases of a model are like."""
    return range_of(model_id, get_run_logger().warning)


def range_of(model_id: int, warn: Callable[[str], None]) -> Reference:
    """The range of a model's training cases. For an imported model: the range from its file, or None.

    `warn` is called if some of the cases are not here.
    """
    settings = current_settings()
    with reading() as session:
        model = session.get_one(Model, model_id)
        run = model.run
        kept = settings.absolute(model.path).parent / RANGE
        if kept.is_file():
            return Reference.from_json(json.loads(kept.read_text(encoding="utf-8")))
        if run.imported is not None:
            return Reference({})
        members = split_queries.side(session, run.split_id, Subset.TRAIN, run.read_config().fold)
        files = [_files(settings, member.case) for member in members]
    there = [pair for pair in files if len(pair) == 2 and all(path.is_file() for path in pair)]
    if len(there) < len(files):
        warn(f"{len(files) - len(there)} of {len(files)} training cases are not here to compare with")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        described = list(pool.map(lambda pair: run_isolated(_AT_ONCE, describe_files, *pair).result, there))
    reference = Reference.of(described)
    write_text_atomically(kept, json.dumps(reference.to_json()))
    return reference


def _files(settings: Settings, case: Case) -> list[Path]:
    kinds = (case.file(FileKind.IMAGE), case.file(FileKind.SEGMENTATION))
    return [settings.absolute(file.path) for file in kinds if file is not None]
