import pytest
from sqlalchemy import func, select

from db.engine import catalog_session
from db.models import FileKind, Split, SplitMember, Subset
from db.queries import ingest, split
from kits_core.errors import KitsError
from kits_core.split import Split as SplitPlan

PLAN = SplitPlan(
    train=("case_00000", "case_00001"),
    validation=("case_00002",),
    strata={"case_00000": "small", "case_00001": "large", "case_00002": "small"},
    folds={"case_00000": 0, "case_00001": 1, "case_00002": 0},
)


def _record(session, small, split_hash):
    names = [f"case_{number:05d}" for number in range(4)]
    return split.record_split(
        session,
        dataset_id=small.dataset,
        split_hash=split_hash,
        seed=7,
        validation=1 / 3,
        folds=2,
        plan=PLAN,
        case_ids=dict(zip(names, small.cases, strict=True)),
        flow_run_id="flow",
    )


def test_a_split_is_written_with_its_strata_and_members(settings, small):
    with catalog_session(settings) as session:
        made = _record(session, small, "split-b")
    with catalog_session(settings) as session:
        found = split.split_of_hash(session, small.dataset, "split-b")
        assert (found.id, found.seed, found.folds, found.strata) == (made.id, 7, 2, {"small": 2, "large": 1})
        assert found.validation_fraction == pytest.approx(1 / 3)
        rows = [(m.case.name, m.subset, m.fold, m.stratum) for m in split.members(session, found.id)]
    assert rows == [
        ("case_00000", Subset.TRAIN, 0, "small"),
        ("case_00001", Subset.TRAIN, 1, "large"),
        ("case_00002", Subset.VALIDATION, 0, "small"),
    ]


def test_a_split_is_written_once(settings, small):
    ids = []
    for _ in range(2):
        with catalog_session(settings) as session:
            ids.append(_record(session, small, "split-b").id)
    assert ids[0] == ids[1]
    with catalog_session(settings) as session:
        assert session.scalar(select(func.count()).select_from(Split)) == 2
        assert session.scalar(select(func.count()).select_from(SplitMember)) == 6


def test_a_hash_that_nobody_has_gives_none(session):
    assert split.split_of_hash(session, 1, "nothing") is None


def test_members_come_by_subset_with_all_at_hand(settings, small):
    with catalog_session(settings) as session:
        held_out = split.side(session, small.split, Subset.VALIDATION, fold=None)
        assert [m.case.name for m in split.side(session, small.split, Subset.TRAIN, fold=None)] == ["case_00000"]
        assert split.members(session, small.split + 1) == []
    assert [m.case.name for m in held_out] == ["case_00001", "case_00002"]
    assert held_out[0].case.file(FileKind.IMAGE).sha256 == "sha-image-1"
    assert {volume.label: volume.ml for volume in held_out[0].case.volumes} == {1: 200.0, 2: 20.0}
    assert held_out[0].case.clinical is None


def test_a_fold_takes_the_place_of_the_sides(settings, small):
    with catalog_session(settings) as session:
        made = _record(session, small, "split-b")
        sides = {fold: [[m.case.name[-1] for m in split.side(session, made.id, subset, fold)] for subset in Subset]
                 for fold in (None, 0, 1)}  # fmt: skip
        assert sides == {None: [["0", "1"], ["2"]], 0: [["1"], ["0", "2"]], 1: [["0", "2"], ["1"]]}
        with pytest.raises(KitsError, match="expected fold 2, got 2 folds"):
            split.side(session, made.id, Subset.TRAIN, 2)
        with pytest.raises(KitsError, match="expected fold 0, got no folds"):
            split.side(session, small.split, Subset.TRAIN, 0)


def test_the_newest_split_of_a_dataset_is_found_unless_told_otherwise(settings, small):
    with catalog_session(settings) as session:
        newest = _record(session, small, "split-b")
        assert split.find_split(session, small.dataset, None) is newest
        assert split.find_split(session, small.dataset, small.split).hash == "split-a"


def test_a_split_that_is_not_there_is_named(settings, small):
    with catalog_session(settings) as session:
        with pytest.raises(KitsError, match=r"expected split 99 of this dataset .* got none; run kits split"):
            split.find_split(session, small.dataset, 99)
        other = ingest.find_dataset(session, "other")
        for wanted, split_id in (("a split", None), (f"split {small.split}", small.split)):
            with pytest.raises(KitsError, match=f"expected {wanted} of this dataset"):
                split.find_split(session, other.id, split_id)
