"""Splits."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from db.models import Case, Split, SplitMember, Subset
from db.queries.turns import take_turn
from kits_core.errors import KitsError
from kits_core.split import Split as SplitPlan


def split_of_hash(session: Session, dataset_id: int, split_hash: str) -> Split | None:
    """The dataset's split of a hash; another dataset with the same cases may have one of the same hash."""
    return session.scalar(select(Split).where(Split.dataset_id == dataset_id, Split.hash == split_hash))


def record_split(
    session: Session,
    *,
    dataset_id: int,
    split_hash: str,
    seed: int,
    validation: float,
    folds: int | None,
    plan: SplitPlan,
    case_ids: Mapping[str, int],
    flow_run_id: str | None,
    kept_id: int | None = None,
) -> Split:
    """Write a split and its members; one of this hash that is there already is returned as it is.

    `case_ids` gives the id of each of the plan's names. `kept_id`: the split whose sides it keeps.
    """
    take_turn(session, Split)
    known = split_of_hash(session, dataset_id, split_hash)
    if known is not None:
        return known
    counts: dict[str, int] = {}
    for stratum in plan.strata.values():
        counts[stratum] = counts.get(stratum, 0) + 1
    split = Split(
        dataset_id=dataset_id,
        hash=split_hash,
        seed=seed,
        validation_fraction=validation,
        folds=folds,
        strata=counts,
        kept_id=kept_id,
        flow_run_id=flow_run_id,
    )
    session.add(split)
    session.flush()
    for subset, names in ((Subset.TRAIN, plan.train), (Subset.VALIDATION, plan.validation)):
        session.add_all(
            SplitMember(
                split_id=split.id,
                case_id=case_ids[name],
                subset=subset,
                fold=plan.folds.get(name),
                stratum=plan.strata[name],
            )
            for name in names
        )
    session.flush()
    return split


def plan_of(session: Session, split: Split) -> SplitPlan:
    """A split as it was made."""
    all_members = members(session, split.id)
    sides = {subset: tuple(m.case.name for m in all_members if m.subset is subset) for subset in Subset}
    return SplitPlan(
        train=sides[Subset.TRAIN],
        validation=sides[Subset.VALIDATION],
        strata={member.case.name: member.stratum for member in all_members},
        folds={member.case.name: member.fold for member in all_members if member.fold is not None},
    )


def find_split(session: Session, dataset_id: int, split_id: int | None) -> Split:
    """The split of an id, or the dataset's newest. Raises `KitsError` where there is none."""
    query = select(Split).where(Split.dataset_id == dataset_id).order_by(Split.id.desc())
    if split_id is not None:
        query = query.where(Split.id == split_id)
    split = session.scalars(query).first()
    if split is None:
        wanted = "a split" if split_id is None else f"split {split_id}"
        raise KitsError(f"expected {wanted} of this dataset in the catalog, got none; run kits split")
    return split


def side(session: Session, split_id: int, subset: Subset, fold: int | None) -> list[SplitMember]:
    """The members of a side: by the split's own sides, or with `fold` that fold for validation and the rest to train.

    Raises `KitsError` for a fold that the split does not have.
    """
    split = session.get_one(Split, split_id)
    if fold is not None and fold >= (split.folds or 0):
        raise KitsError(
            f"split {split_id}: expected fold {fold}, got {split.folds or 'no'} folds; they are numbered from 0, and "
            "kits split --folds makes them"
        )
    held_out = {True: Subset.VALIDATION, False: Subset.TRAIN}
    return [m for m in members(session, split_id) if (m.subset if fold is None else held_out[m.fold == fold]) is subset]


def members(session: Session, split_id: int) -> list[SplitMember]:
    """The members of a split in the order of their cases' names, the cases, files and volumes at hand."""
    query = select(SplitMember).join(Case).where(SplitMember.split_id == split_id).order_by(Case.name)
    loaded = selectinload(SplitMember.case)
    options = (loaded.selectinload(Case.files), loaded.selectinload(Case.volumes), loaded.selectinload(Case.clinical))
    return list(session.scalars(query.options(*options)))
