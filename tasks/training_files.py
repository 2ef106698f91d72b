"""The prepared files that a training reads: those of its split's cases, except cases that the recipe refuses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import PreparedCase, Problem, SplitMember, Subset, TrainingRun
from db.models import Recipe as RecipeRow
from db.queries import prepare as prepare_queries
from db.queries import split as split_queries
from db.settings import Settings
from kits_core.errors import KitsError
from kits_core.files import sha256_of
from kits_core.network.loader import TrainingCase
from kits_core.text import listed
from tasks.prepare import STAGE as PREPARE
from tasks.split import check_members


@dataclass(frozen=True)
class Sides:
    """The cases of a split that a training reads. `left_out`: those that the recipe refuses, by name, and why."""

    members: Mapping[Subset, Sequence[SplitMember]]
    left_out: Mapping[str, str]

    @property
    def all_members(self) -> list[SplitMember]:
        """Of both sides."""
        return [member for side in self.members.values() for member in side]


def sides_of(session: Session, split_id: int, fold: int | None, recipe: RecipeRow) -> Sides:
    """Both sides of a split, without the cases that the recipe refuses.

    Raises `KitsError` where the sides share a patient, and where one has no case that the recipe takes.
    """
    sides = {subset: split_queries.side(session, split_id, subset, fold) for subset in Subset}
    check_members(sides)
    rows = prepare_queries.current_of(session, recipe.id)
    ids = {m.case_id: m.case.name for side in sides.values() for m in side if m.case_id not in rows}
    refused = select(Problem).where(Problem.stage == PREPARE, Problem.resolved_at.is_(None))
    reasons = {one.case_id: one.error for one in session.scalars(refused) if one.case_id in ids}
    kept = {subset: [m for m in side if m.case_id not in reasons] for subset, side in sides.items()}
    for subset, side in kept.items():
        if sides[subset] and not side:
            raise KitsError(
                f"split {split_id}: expected a case for {subset} that the recipe takes, got none of "
                f"{len(sides[subset])}; kits status says why it refuses them"
            )
    return Sides(kept, {ids[case_id]: reason for case_id, reason in sorted(reasons.items())})


def prepared_of(session: Session, sides: Sides, recipe: RecipeRow) -> list[PreparedCase]:
    """The prepared files of a training's cases. Raises `KitsError` where some are missing, old, or without labels."""
    members, rows = sides.all_members, prepare_queries.current_of(session, recipe.id)
    stale = [member.case.name for member in members if member.case_id not in rows]
    if stale:
        raise KitsError(
            f"recipe {recipe.hash}: expected prepared files of all {len(members)} cases of the split, got none or old "
            f"ones of {len(stale)} ({listed(stale)}); run kits prepare with {_in_words(recipe)}"
        )
    prepared = [rows[member.case_id] for member in members]
    for row in prepared:
        if row.label_path is None:
            raise KitsError(f"{row.case.name}: expected prepared labels, got an image alone; run kits ingest again")
    return prepared


def _in_words(recipe: RecipeRow) -> str:
    settings = recipe.read().model_dump(mode="json", exclude_defaults=True)
    return f"its settings ({', '.join(f'{name} {value}' for name, value in settings.items()) or 'the defaults'})"


@dataclass(frozen=True)
class TrainingFiles:
    """A case to train on or to validate with, and what its files are to be."""

    case: TrainingCase
    image_sha256: str
    label_sha256: str

    def check(self) -> None:
        """Raise `KitsError` for a file that is not as it was prepared."""
        case = self.case
        for path, sha256 in ((case.image_path, self.image_sha256), (case.label_path, self.label_sha256)):
            if not path.is_file() or sha256_of(path) != sha256:
                raise KitsError(
                    f"{case.name}: expected {path} with SHA-256 {sha256}, as it was prepared, got another or no file; "
                    "delete it and run kits prepare"
                )


def files_of(session: Session, settings: Settings, run: TrainingRun) -> dict[Subset, list[TrainingFiles]]:
    """The cases that a run reads, in the order of its split. The hashes are those from its first start.

    Raises `KitsError` where the split has a case that the run was not begun with.
    """
    rows = prepare_queries.prepared_of(session, run.recipe_id)
    seen = {case.case_id: case for case in run.cases}
    files: dict[Subset, list[TrainingFiles]] = {}
    sides = sides_of(session, run.split_id, run.read_config().fold, run.recipe)
    for subset, members in sides.members.items():
        files[subset] = []
        for member in members:
            row, hashes = rows.get(member.case_id), seen.get(member.case_id)
            if row is None or hashes is None:
                raise KitsError(
                    f"run {run.id}: expected prepared files of {member.case.name} that it was begun with, got none; "
                    "run kits train with its settings for a new run"
                )
            case = TrainingCase(
                member.case.name,
                settings.absolute(row.image_path),
                settings.absolute(row.label_path or ""),
                kidney_kept=1.0 if row.kidney_kept is None else row.kidney_kept,
                tumor_kept=1.0 if row.tumor_kept is None else row.tumor_kept,
            )
            files[subset].append(TrainingFiles(case, hashes.image_sha256, hashes.label_sha256))
    return files
