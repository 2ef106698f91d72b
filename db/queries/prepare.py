"""Recipes and prepared cases."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, selectinload

from db.models import Case, Ceiling, PreparedCase, Recipe
from db.models.base import now
from db.queries.turns import find_or_add, take_turn
from kits_core.errors import KitsError
from kits_core.recipe import recipe


def ensure_recipe(session: Session, recipe_hash: str, settings: Mapping[str, Any], flow_run_id: str | None) -> Recipe:
    """The recipe of a hash, made if it is new."""
    row = find_or_add(session, Recipe, {"hash": recipe_hash}, settings=dict(settings), flow_run_id=flow_run_id)
    session.flush()
    return row


def recipes_with_cases(session: Session, dataset_id: int | None = None) -> list[Recipe]:
    """The recipes that cases were prepared by, of one dataset or of any; the one that was used last comes first.

    Those that today's code would prepare otherwise are left out.
    """
    last = func.max(PreparedCase.created_at)
    query = select(Recipe).join(PreparedCase, PreparedCase.recipe_id == Recipe.id).group_by(Recipe.id)
    if dataset_id is not None:
        query = query.join(Case, Case.id == PreparedCase.case_id).where(Case.dataset_id == dataset_id)
    rows = session.scalars(query.order_by(last.desc(), Recipe.id.desc()))
    return [row for row in rows if row.read().hash == row.hash]


def find_recipe(session: Session, dataset_id: int, recipe_id: int | None) -> recipe.Recipe:
    """The settings of a recipe, or those that a training of a dataset takes by itself.

    These are the defaults; where nothing was prepared by them, the newest recipe that was. The second recipe of a
    cascade, which names the network that finds the kidneys, is for that cascade alone. Raises `KitsError` for a recipe
    that is not there.
    """
    if recipe_id is not None:
        row = session.get(Recipe, recipe_id)
        if row is None:
            known = ", ".join(str(known.id) for known in recipes_with_cases(session, dataset_id)) or "none"
            raise KitsError(
                f"recipe {recipe_id}: expected one that cases were prepared by ({known}), got none of that number; "
                "choose another, or run kits prepare"
            )
        return row.read()
    default = recipe.Recipe()
    found = [row.read() for row in recipes_with_cases(session, dataset_id)]
    return next((settings for settings in found if settings.locator is None and default not in found), default)


def prepared_of(session: Session, recipe_id: int, case_ids: Iterable[int] | None = None) -> dict[int, PreparedCase]:
    """Prepared cases of a recipe by the case's id, with their case and ceilings at hand."""
    query = select(PreparedCase).where(PreparedCase.recipe_id == recipe_id)
    if case_ids is not None:
        query = query.where(PreparedCase.case_id.in_(list(case_ids)))
    options = (selectinload(PreparedCase.case).selectinload(Case.files), selectinload(PreparedCase.ceilings))
    return {prepared.case_id: prepared for prepared in session.scalars(query.options(*options))}


def current_of(session: Session, recipe_id: int) -> dict[int, PreparedCase]:
    """Those that were made from the files that their cases have now: all but what the view `stale` names."""
    rows = prepared_of(session, recipe_id)  # first: it also writes what the session has not written yet
    stale = set(session.scalars(text("SELECT s.number FROM stale s WHERE s.what = 'prepared_case'")))
    return {case_id: row for case_id, row in rows.items() if row.id not in stale}


def record_prepared(
    session: Session,
    *,
    recipe_id: int,
    case_id: int,
    facts: Mapping[str, Any],
    ceilings: Mapping[tuple[str, str], float],
) -> PreparedCase:
    """The row of a prepared case, its ceilings `{(region, metric): value}` in place of what was known."""
    take_turn(session, Case, case_id)
    prepared = find_or_add(session, PreparedCase, {"recipe_id": recipe_id, "case_id": case_id})
    prepared.created_at = now()
    for column, value in facts.items():
        setattr(prepared, column, value)
    prepared.ceilings.clear()
    session.flush()
    prepared.ceilings.extend(
        Ceiling(region=region, metric=metric, value=value) for (region, metric), value in ceilings.items()
    )
    return prepared
