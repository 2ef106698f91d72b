"""The methods paragraph, built from what really ran."""

from dataclasses import dataclass

from kits_core.network.config import TrainingConfig
from kits_core.recipe.recipe import Recipe


@dataclass(frozen=True)
class Lineage:
    """Where a model comes from. `score`: mean validation Dice of kidney and tumour on the recipe's grid."""

    dataset: str
    source: str
    train_cases: int
    validation_cases: int
    split_seed: int
    split_hash: str
    recipe: Recipe
    config: TrainingConfig
    run_id: int
    model_id: int
    model_epoch: int
    model_sha256: str
    parameters: int
    score: float
    environment: dict[str, str]


def training_paragraph(lineage: Lineage) -> str:
    """Plain sentences on data, preparation and training."""
    return " ".join((_data(lineage), _preparation(lineage.recipe), _training(lineage)))


def methods_paragraph(lineage: Lineage, subset: str) -> str:
    """Plain sentences for a paper's methods section; `subset`: which side was scored, `train` or `validation`."""
    selection = (
        "The checkpoint was selected on the same cases that are scored here, so the scores are those of a validation, "
        "not of an independent test."
        if subset == "validation"
        else "The scored cases were trained on: the scores say how well they were fitted, not how the model generalises."
    )
    back = "Predictions were brought back to each scan's original grid before scoring."
    return f"{training_paragraph(lineage)} {back} {selection}"


def _data(lineage: Lineage) -> str:
    fold = lineage.config.fold
    held_out = "for validation" if fold is None else f"for validation (fold {fold})"
    return (
        f"{lineage.train_cases + lineage.validation_cases} cases of the dataset {lineage.dataset} ({lineage.source}) were "
        f"split into {lineage.train_cases} for training and {lineage.validation_cases} {held_out}, stratified by "
        f"tumour-volume tercile, contrast phase and cyst presence (seed {lineage.split_seed})."
    )


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
    schedule = (
        "" if config.final_learning_rate is None else f", falling along a half cosine to {config.final_learning_rate:g}"
    )
    loss = (
        f"the Focal Tversky loss (miss {config.miss_weight:g}, false alarm {config.false_alarm_weight:g}, exponent "
        f"{config.focus:g})"
        if config.loss == "focal_tversky"
        else "the sum of Dice loss and cross-entropy"
    )
    return (
        f"A 3-D U-Net on a ResNet-18 encoder with {config.filters} channels in its stem and {config.normalisation} "
        f"normalisation ({lineage.parameters:,} parameters) was trained for at most {config.epochs} epochs with Adam (step "
        f"size {config.learning_rate:g}{schedule}), batches of {config.batch_size} and {loss}, under Keras "
        f"{environment.get('keras', '?')} on {environment.get('backend', 'unknown')}. Training cases were mirrored "
        "left-right, turned, scaled, shifted and changed in contrast, brightness, gamma and noise at random. The checkpoint "
        f"of epoch {lineage.model_epoch} had the best mean Dice of kidney and tumour over the validation cases."
    )
