import pytest
from sqlalchemy import func, select

from db.engine import catalog_session
from db.models import Case, Ceiling, Dataset, FileKind, PreparedCase, Recipe
from db.queries import ingest, prepare
from kits_core.errors import KitsError
from kits_core.recipe.recipe import Recipe as RecipeSettings


def test_a_recipe_is_made_once_and_keeps_its_settings(settings):
    wanted = {"shape": [64, 64, 64], "frame": "kidneys", "spacing_mm": None}
    with catalog_session(settings) as session:
        first = prepare.ensure_recipe(session, "hash", wanted, "flow-1")
    with catalog_session(settings) as session:
        again = prepare.ensure_recipe(session, "hash", wanted, "flow-2")
        assert (again.id, again.settings, again.flow_run_id) == (first.id, wanted, "flow-1")
        assert session.scalar(select(func.count()).select_from(Recipe)) == 1


def test_prepared_cases_come_by_case_with_all_at_hand(settings, small):
    with catalog_session(settings) as session:
        everything = prepare.prepared_of(session, small.recipe)
        some = prepare.prepared_of(session, small.recipe, iter([small.cases[1], small.cases[3]]))
        none = prepare.prepared_of(session, small.recipe, [])
        assert prepare.prepared_of(session, small.recipe + 1) == {}
    assert list(everything) == small.cases[:3]
    assert list(some) == [small.cases[1]]
    assert none == {}
    one = some[small.cases[1]]
    assert one.case.file(FileKind.IMAGE).sha256 == "sha-image-1"
    assert {(c.region, c.metric): c.value for c in one.ceilings} == {("kidney", "dice"): 0.99, ("tumor", "dice"): 0.91}


def test_a_prepared_case_and_its_ceilings_are_replaced(settings, small, prepared_facts):
    facts = prepared_facts(1) | {"image_sha256": "new", "tumor_kept": 0.9}
    for _ in range(2):
        with catalog_session(settings) as session:
            prepare.record_prepared(
                session,
                recipe_id=small.recipe,
                case_id=small.cases[1],
                facts=facts,
                ceilings={("tumor", "dice"): 0.5, ("mass", "dice"): 0.6},
            )
    with catalog_session(settings) as session:
        row = prepare.prepared_of(session, small.recipe)[small.cases[1]]
        assert (row.image_sha256, row.tumor_kept, row.cyst_kept) == ("new", 0.9, None)
        assert {(c.region, c.value) for c in row.ceilings} == {("tumor", 0.5), ("mass", 0.6)}
        assert session.scalar(select(func.count()).select_from(PreparedCase)) == 3
        assert session.scalar(select(func.count()).select_from(Ceiling)) == 6


def test_a_case_without_a_reference_has_no_ceilings(settings, small, prepared_facts):
    facts = prepared_facts(3) | {"label_path": None, "label_sha256": None, "source_segmentation_sha256": None}
    with catalog_session(settings) as session:
        row = prepare.record_prepared(session, recipe_id=small.recipe, case_id=small.cases[3], facts=facts, ceilings={})
        assert row.ceilings == []


def test_a_prepared_case_is_current_until_a_raw_file_changes(settings, small, file_facts):
    for kind in FileKind:
        with catalog_session(settings) as session:
            assert list(prepare.current_of(session, small.recipe)) == small.cases[:3]
            case = session.get_one(Case, small.cases[1])
            file = ingest.record_file(session, case, kind, file_facts("changed"))
            assert list(prepare.current_of(session, small.recipe)) == [small.cases[0], small.cases[2]]
            file.sha256 = f"sha-{kind}-1"
            assert list(prepare.current_of(session, small.recipe)) == small.cases[:3]


def test_a_reference_that_comes_later_makes_a_prepared_case_old(settings, small):
    with catalog_session(settings) as session:
        row = prepare.prepared_of(session, small.recipe)[small.cases[1]]
        row.source_segmentation_sha256 = None
        assert list(prepare.current_of(session, small.recipe)) == [small.cases[0], small.cases[2]]


@pytest.mark.parametrize("kind", FileKind)
def test_a_case_that_has_lost_a_file_has_nothing_current(settings, small, kind):
    with catalog_session(settings) as session:
        session.delete(session.get_one(Case, small.cases[1]).file(kind))
        assert list(prepare.current_of(session, small.recipe)) == [small.cases[0], small.cases[2]]


def test_a_case_without_a_reference_is_current_without_one(settings, small):
    with catalog_session(settings) as session:
        row = prepare.prepared_of(session, small.recipe)[small.cases[1]]
        session.delete(row.case.file(FileKind.SEGMENTATION))
        row.source_segmentation_sha256 = None
        assert list(prepare.current_of(session, small.recipe)) == small.cases[:3]


def test_a_training_takes_the_default_recipe_or_else_the_newest_that_was_prepared(settings, small, prepared_facts):
    def prepare_by(recipe):
        with catalog_session(settings) as session:
            row = prepare.ensure_recipe(session, recipe.hash, recipe.to_stored(), None)
            prepare.record_prepared(
                session, recipe_id=row.id, case_id=small.cases[0], facts=prepared_facts(0), ceilings={}
            )
            return row.id

    def taken(recipe_id=None):
        with catalog_session(settings) as session:
            return prepare.find_recipe(session, small.dataset, recipe_id)

    assert taken() == RecipeSettings()  # nothing was prepared by this code: recipe-a is another's
    older, newer = RecipeSettings(shape=32), RecipeSettings(shape=64, frame="kidneys")
    first, second = prepare_by(older), prepare_by(newer)
    assert taken() == newer
    prepare_by(newer.model_copy(update={"locator": "a" * 64}))
    assert taken() == newer
    prepare_by(older)
    assert taken() == older
    prepare_by(RecipeSettings())
    prepare_by(newer)
    assert taken() == RecipeSettings()
    assert (taken(first), taken(second)) == (older, newer)
    with pytest.raises(KitsError, match=rf"recipe 99: expected one that cases were prepared by \({second}, .*\), got"):
        taken(99)
    with catalog_session(settings) as session:
        other = session.scalars(select(Dataset.id).where(Dataset.name == "other")).one()
        assert prepare.recipes_with_cases(session, other) == []
        assert prepare.recipes_with_cases(session)[0].id == second
