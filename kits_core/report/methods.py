"""The methods paragraph, built from what really ran."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kits_core.inference.cleanup import Choice, Rules
from kits_core.metrics.aggregate import WINNER_DICE, WINNER_SURFACE_DICE, OfficialSummary
from kits_core.network.architectures import ARCHITECTURES
from kits_core.network.config import TrainingConfig
from kits_core.network.losses import LOSSES
from kits_core.own_folds import OWN
from kits_core.recipe.recipe import Recipe
from kits_core.source.preset import LICENCE, is_kits
from kits_core.split import stratified_by


@dataclass(frozen=True)
class Lineage:
    """Where a model comes from. `score`: mean validation Dice of kidney and tumour on the recipe's grid.

    `strata`: names of the split's strata, as `kits_core.split` gives them. `grown`: the split keeps the sides of an
    earlier one, and later cases have joined them. `imported`: from where, in words; empty for a
    model that was trained here.
    """

    dataset: str
    source: str
    train_cases: int
    validation_cases: int
    split_seed: int
    split_hash: str
    strata: tuple[str, ...]
    recipe: Recipe
    config: TrainingConfig
    run_id: int
    model_id: int
    model_epoch: int
    model_sha256: str
    parameters: int
    score: float
    environment: dict[str, str]
    imported: str = ""
    grown: bool = False

    @property
    def licence(self) -> str:
        """KiTS's licence where the cases are KiTS's, else empty: for other data it is not known."""
        return LICENCE if is_kits(self.dataset, self.source) else ""


def chosen_on(lineage: Lineage) -> str:
    """The cases on which the best epoch was chosen, in words."""
    chosen = lineage.config.selection_cases
    if chosen is None or chosen >= lineage.validation_cases:
        return "the validation cases"
    return f"{chosen} of the {lineage.validation_cases} validation cases, drawn by the seed"


def training_paragraph(lineage: Lineage) -> str:
    """Plain sentences on data, preparation and training."""
    return " ".join((_data(lineage), _preparation(lineage.recipe), _training(lineage)))


@dataclass(frozen=True)
class Inference:
    """How an evaluation predicted. `locator_id`: the model that found the kidneys for one that needs it.

    `own_cases`: whether the scored cases are a side of the split that the model was trained by.
    """

    flips: bool
    cleanup: Choice
    locator_id: int | None
    own_cases: bool = True


def methods_paragraph(lineage: Lineage, inference: Inference, subset: str) -> str:
    """Plain sentences for a paper's methods section; `subset`: which side was scored, `train` or `validation`."""
    if not inference.own_cases:
        selection = _ELSEWHERE
    elif subset == "validation":
        selection = (
            f"The checkpoint was selected on {chosen_on(lineage)}, which are scored here, so the scores are those of a "
            "validation, not of an independent test."
        )
    else:
        selection = (
            "The scored cases were trained on: the scores say how well they were fitted, not how the model generalises."
        )
    return f"{training_paragraph(lineage)} {_prediction(inference)} {_SCORING} {selection}"


_ELSEWHERE = (
    "The model was trained elsewhere and imported. Whether scored cases were among those that it has learnt is not known "
    "here; if they were, the scores flatter it."
)


def cleanup_sentence(choice: Choice) -> str:
    """Which islands were removed, and why."""
    if not choice.cases:
        return "No islands were removed: there were no validation cases to choose rules with."
    cases = f"{choice.cases} validation case{'' if choice.cases == 1 else 's'}"
    if choice.rules == Rules():
        return f"No islands were removed: on {cases} no rule made the mean Dice of kidney and tumour better."
    parts = []
    if choice.rules.foreground_mm3:
        parts.append(f"islands of kidney and tumour below {choice.rules.foreground_mm3:,.0f} mm³ were removed")
    if choice.rules.tumor_mm3:
        parts.append(
            f"islands of tumour below {choice.rules.tumor_mm3:,.0f} mm³ became kidney where they hung together with "
            "kidney, and were removed elsewhere"
        )
    return (
        f"{' and '.join(parts).capitalize()}, because that made the mean Dice of kidney and tumour better on {cases} "
        f"({choice.before:.4f} without, {choice.after:.4f} with)."
    )


def _prediction(inference: Inference) -> str:
    found = (
        ""
        if inference.locator_id is None
        else f"The kidneys were found in the whole scan by model {inference.locator_id}. "
    )
    flips = ", the mean of those of the image and of its mirror image," if inference.flips else ""
    return (
        f"{found}Class probabilities{flips} were interpolated linearly to each scan's original grid, where every voxel took "
        f"the likeliest class. {cleanup_sentence(inference.cleanup)}"
    )


_SCORING = (
    "Scores were computed per case and region on the original grid in millimetres; means are over cases, intervals are "
    "95 % percentile bootstrap intervals of the mean."
)


def comparability(summary: OfficialSummary) -> str:
    """How to read official means beside those of the challenge's winner."""
    return (
        f"The KiTS23 challenge ranked by these two means. Its winner had {WINNER_DICE:.3f} and {WINNER_SURFACE_DICE:.3f} "
        "on 110 hidden cases, whose references are not public. The rules, regions and tolerances are the same here. The "
        f"cases are not ({summary.cases} here), a checkpoint or a threshold that was chosen on them flatters, and a model "
        "that knows no cysts loses in the region mass: compare models on the same cases, and the winner's numbers for "
        "scale only."
    )


def _data(lineage: Lineage) -> str:
    fold = lineage.config.fold
    held_out = "for validation" if fold is None else f"for validation (fold {fold})"
    properties = stratified_by(lineage.strata)
    by = f"stratified by {_listed(properties)}" if properties else "at random"
    how = "as a given file says" if lineage.strata == (OWN,) else f"{by} (seed {lineage.split_seed})"
    if lineage.grown:
        how += "; cases that came later joined the sides of an earlier split, whose cases stayed where they were"
    return (
        f"{lineage.train_cases + lineage.validation_cases} cases of the dataset {lineage.dataset} ({lineage.source}) were "
        f"split into {lineage.train_cases} for training and {lineage.validation_cases} {held_out}, {how}."
    )


def _listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _preparation(recipe: Recipe) -> str:
    if recipe.frame == "kidneys":
        source = "the reference" if recipe.locator is None else "what another network found in the whole scan"
        frame = f"A box around both kidneys from {source}, with a margin of {recipe.margin_mm:g} mm,"
    else:
        frame = "Each whole scan, less the air around the patient," if recipe.trim_air else "Each whole scan"
    spacing = "" if recipe.spacing_mm is None else f" of {recipe.spacing_mm:g} mm"
    return (
        f"{frame} was resampled to {recipe.shape}³ voxels{spacing} along the scan's own axes (linear, antialiased; labels by "
        f"the largest share), clipped to {recipe.window_hu[0]:g} to {recipe.window_hu[1]:g} HU and standardised; cysts "
        f"counted as {recipe.cyst_to}."
    )


def _training(lineage: Lineage) -> str:
    config, environment = lineage.config, lineage.environment
    schedule = ""
    if config.final_learning_rate is not None:
        last = "" if config.decay_epochs is None else f" in the last {config.decay_epochs} epochs"
        schedule = f", falling{last} along a half cosine to {config.final_learning_rate:g}"
    loss = LOSSES.title(config.loss)
    loss = loss[0].lower() + loss[1:]
    if config.loss == "focal_tversky":
        loss += f" (miss {config.miss_weight:g}, false alarm {config.false_alarm_weight:g}, exponent {config.focus:g})"
    return (
        f"{ARCHITECTURES.title(config.architecture)} with {config.filters} channels in its first level and {config.normalisation} "
        f"normalisation ({lineage.parameters:,} parameters) was trained for at most {config.epochs} epochs with Adam (step "
        f"size {config.learning_rate:g}{schedule}), batches of {config.batch_size} and {loss}, under Keras "
        f"{environment.get('keras', '?')} on {environment.get('backend', 'unknown')}{''.join(_particulars(config))}. Training cases were mirrored "
        "left-right, turned, scaled, shifted and changed in contrast, brightness, gamma and noise at random. The checkpoint "
        f"of epoch {lineage.model_epoch} had the best mean Dice of kidney and tumour over {chosen_on(lineage)}; training would "
        f"have stopped after {config.patience} epochs without a better one."
    )


def _particulars(config: TrainingConfig) -> Iterator[str]:
    """The settings that are not the usual ones."""
    if config.begins_with is not None:
        yield f", beginning with the weights of the model of SHA-256 {config.begins_with}"
    if config.micro_batch is not None:
        yield f", gradients added up over {config.micro_batch} cases at a time"
    if config.deep_supervision:
        yield ", with outputs at half and quarter resolution that learn too"
    if config.loss_background:
        yield ", the loss counting the background as a class"
    if config.loss_per == "batch":
        yield ", the loss computed over each batch as a whole"
    if config.precision != "auto":
        yield f", in {config.precision}"
