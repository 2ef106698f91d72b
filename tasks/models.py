"""Models of the catalog as networks in memory. Keras is imported where one is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock

from sqlalchemy.orm import Session

from db.models import Model
from db.queries.training import find_locator, find_model, model_of_sha256
from db.settings import Settings
from kits_core.errors import KitsError
from kits_core.files import sha256_of
from kits_core.inference.predict import Segmenter
from kits_core.recipe.recipe import Recipe
from kits_core.source.preset import LICENCE, is_kits
from tasks.catalog import reading

one_prediction = Lock()
"""A network's prediction fills all cores and much memory by itself; two at once would only be slower."""


def segmenter_of(settings: Settings, model: Model, *, flips: bool = False) -> Segmenter:
    """The network of a model with its recipe. Raises `KitsError` where the checkpoint was changed or replaced."""
    segmenter = _load(settings.absolute(model.path), model.sha256, recipe_of(model))
    return replace(segmenter, flips=flips)


def mean_of(segmenters: Sequence[Segmenter]) -> Segmenter:
    """One segmenter that averages several. Raises `KitsError` where their recipes differ."""
    first, *rest = segmenters
    if len({segmenter.recipe.hash for segmenter in segmenters}) > 1:
        raise KitsError("expected models of one recipe to average, got several recipes; name models of one recipe")
    return replace(first, others=tuple(segmenter.model for segmenter in rest))


def locator_of(session: Session, model: Model, *, held_out: bool) -> Model | None:
    """The model that finds the kidneys for a model of that frame: the one used in its training, or the best one.

    None for a model that sees the whole scan. `held_out`: see `find_locator`.
    """
    recipe = recipe_of(model)
    if recipe.frame != "kidneys":
        return None
    if recipe.locator is None:
        return find_locator(session, model.run, held_out=held_out)
    return model_of_sha256(session, recipe.locator)


@dataclass(frozen=True)
class TrainingData:
    """The data that a model was trained on. `text`: for people; `licence`: KiTS's for its cases, else empty."""

    text: str
    licence: str


def data_of(model: Model) -> TrainingData:
    """The dataset that a model was trained on, here or in the home that it comes from."""
    if (origin := model.run.read_origin()) is not None:
        return TrainingData(origin.sentence, origin.licence)
    dataset = model.run.split.dataset
    licence = LICENCE if is_kits(dataset.name, dataset.source) else ""
    return TrainingData(f"{dataset.name} ({dataset.source})", licence)


def check_checkpoint(path: Path, sha256: str) -> None:
    """Raise `KitsError` where a model's file is missing, changed or replaced."""
    if not path.is_file():
        raise KitsError(f"{path}: expected the checkpoint with SHA-256 {sha256}, got no file; train again")
    if sha256_of(path) != sha256:
        raise KitsError(
            f"{path}: expected the checkpoint with SHA-256 {sha256}, got another file; put the right one back, or "
            "delete this one and train again"
        )


def recipe_of(model: Model) -> Recipe:
    """The recipe that a model was trained with."""
    return model.run.recipe.read()


def model_id(wanted: str) -> int:
    """The id of the model called `champion`, `latest` or by its id. Raises `KitsError` where there is none."""
    with reading() as session:
        return find_model(session, wanted).id


def recipe_for(wanted: str) -> Recipe:
    """The recipe of the model called `champion`, `latest` or by its id. Raises `KitsError` where there is none."""
    with reading() as session:
        return recipe_of(find_model(session, wanted))


@lru_cache(maxsize=6)  # the folds of a cross-validation, and the model that finds the kidneys for them
def _load(path: Path, sha256: str, recipe: Recipe) -> Segmenter:
    from kits_core.network.checkpoint import load_network  # noqa: PLC0415 - imports TensorFlow

    check_checkpoint(path, sha256)
    return Segmenter(load_network(path), recipe)
