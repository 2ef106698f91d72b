"""The methods paragraph, built from what really ran."""

from dataclasses import dataclass

from kits_core.network.config import TrainingConfig
from kits_core.recipe.recipe import Recipe


@dataclass(frozen=True)
class Lineage:
    """Where the numbers of an evaluation come from."""

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
    subset: str
    environment: dict[str, str]


def methods_paragraph(lineage: Lineage) -> str:
    """Plain sentences for a paper's methods section."""
    recipe, config = lineage.recipe, lineage.config
    backend = lineage.environment.get("backend", "unknown")
    schedule = (
        "" if config.final_learning_rate is None else f", falling along a half cosine to {config.final_learning_rate:g}"
    )
    selection = (
        " The checkpoint was selected on the same cases that are scored here, so the scores are those of a validation, "
        "not of an independent test."
        if lineage.subset == "validation"
        else " The scored cases were trained on: the scores say how well they were fitted, not how the model generalises."
    )
    return (
        f"{lineage.train_cases + lineage.validation_cases} cases of the dataset {lineage.dataset} ({lineage.source}) were "
        f"split into {lineage.train_cases} for training and {lineage.validation_cases} for validation, stratified by "
        f"tumour-volume tercile, contrast phase and cyst presence (seed {lineage.split_seed}). Each whole scan{', less the air around the patient,' if recipe.trim_air else ''} was resampled "
        f"to {recipe.shape}³ voxels along its own axes (linear, antialiased; labels by the largest share), clipped to "
        f"{recipe.window_hu[0]:g} to {recipe.window_hu[1]:g} HU and standardised; cysts counted as {recipe.cyst_to}. "
        f"A 3-D U-Net on a ResNet-18 encoder with {config.filters} channels in its stem ({lineage.parameters:,} parameters) "
        f"was trained for at most {config.epochs} epochs with Adam (step size {config.learning_rate:g}{schedule}), batches of "
        f"{config.batch_size} and the Focal Tversky loss (miss {config.miss_weight:g}, false alarm "
        f"{config.false_alarm_weight:g}, exponent {config.focus:g}), under Keras {lineage.environment.get('keras', '?')} on "
        f"{backend}. Training cases were mirrored left-right, turned, scaled, shifted and changed in contrast, brightness "
        f"and noise at random. The checkpoint of epoch {lineage.model_epoch} had the best mean Dice of kidney and tumour "
        f"over the validation cases. Predictions were brought back to each scan's original grid before scoring.{selection}"
    )
