"""The settings of a training. Imports no Keras, so that forms and command lines can show them."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from kits_core.network.architectures import ARCHITECTURES
from kits_core.network.losses import LOSSES
from kits_core.stored import StoredSettings

NETWORK_SETTINGS = ("architecture", "filters", "normalisation", "deep_supervision")
"""What decides which weights a network has: those of another network fit where these are alike."""


class TrainingConfig(StoredSettings):
    """The reference recipe's settings are the defaults: Adam 1e-4, batch 8, 50 epochs, patience 40, Focal Tversky."""

    epochs: int = Field(50, ge=1, le=10_000, description="Passes over the training cases.")
    batch_size: int = Field(8, ge=1, le=256, title="Batch (cases)", description="Cases per step.")
    micro_batch: int | None = Field(
        None,
        ge=1,
        title="Cases in memory",
        description="Cases in memory at once; gradients add up to a whole batch, save that batch normalisation, and a "
        "loss per batch, see each part by itself. A divisor of the batch size; empty takes all of it.",
    )
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Adam's step size at the start.")
    final_learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Falls to this along a half cosine by the last epoch; empty keeps it constant.",
    )
    decay_epochs: int | None = Field(
        None,
        ge=1,
        title="Decay (epochs)",
        description="Epochs at the end in which the step size falls; before them it is constant, so that the training "
        "can be extended. Empty lets it fall from the first epoch on.",
    )
    patience: int = Field(
        40,
        ge=1,
        title="Patience (epochs)",
        description="Epochs without a better validation score before training stops.",
    )
    architecture: Annotated[str, AfterValidator(ARCHITECTURES.check)] = Field(
        "resnet18_unet",
        description="The network; plain_unet and residual_unet have nnU-Net's proportions.",
        json_schema_extra=ARCHITECTURES.choices(),
    )
    filters: int = Field(
        64,
        ge=4,
        le=128,
        multiple_of=4,
        title="Filters (channels)",
        description="Channels of the first level; 64 is ResNet-18, 32 is nnU-Net.",
    )
    normalisation: Literal["batch", "group", "instance"] = Field(
        "batch", description="What normalises the features; group and instance do not depend on the batch."
    )
    deep_supervision: bool = Field(False, description="Whether the decoder's half and quarter resolution learn too.")
    begins_with: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the model whose weights it begins with; empty for random weights.",
    )
    loss: Annotated[str, AfterValidator(LOSSES.check)] = Field(
        "focal_tversky", description="What is minimised.", json_schema_extra=LOSSES.choices()
    )
    miss_weight: float = Field(0.7, ge=0, le=1, description="Focal Tversky: weight of a missed voxel.")
    false_alarm_weight: float = Field(
        0.3, ge=0, le=1, title="False-alarm weight", description="Focal Tversky: weight of a voxel wrongly found."
    )
    focus: float = Field(0.75, gt=0, le=4, description="Focal Tversky: exponent; the paper's gamma of 4/3 is 0.75.")
    loss_background: bool = Field(
        False, title="Loss counts the background", description="Whether the loss counts the background as a class."
    )
    loss_per: Literal["sample", "batch"] = Field(
        "sample", title="Loss over", description="What the loss counts together."
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="Where it trains; auto takes a GPU where there is one, gpu refuses to do without."
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Of the layers' arithmetic; auto is float32 on a CPU and 16 bits on a GPU."
    )
    fold: int | None = Field(
        None, ge=0, description="Fold of the split that is held out instead of its validation side; empty for none."
    )
    selection_cases: int | None = Field(
        None,
        ge=1,
        title="Cases that choose the best epoch",
        description="Validation cases, drawn by the seed, whose mean Dice chooses the best epoch; empty takes all.",
    )
    seed: int = Field(23, ge=0, description="Of initial weights, case order and augmentation.")

    @model_validator(mode="after")
    def _micro_batch_divides(self) -> Self:
        if self.batch_size % self.cases_at_once:
            raise ValueError(f"micro_batch must divide batch_size {self.batch_size}, got {self.micro_batch}")
        return self

    @model_validator(mode="after")
    def _decay_fits(self) -> Self:
        if self.decay_epochs is not None:
            if self.final_learning_rate is None:
                raise ValueError("decay_epochs goes with final_learning_rate, to which the step size falls")
            if self.decay_epochs > self.epochs:
                raise ValueError(f"decay_epochs must not be more than epochs {self.epochs}, got {self.decay_epochs}")
        return self

    @property
    def stable_epochs(self) -> int:
        """How many epochs have a constant step size, whatever comes after them: all, some, or none."""
        if self.final_learning_rate is None:
            return self.epochs
        return self.epochs - self.decay_epochs if self.decay_epochs is not None else 0

    @property
    def cases_at_once(self) -> int:
        """Cases in memory at once."""
        return self.micro_batch or self.batch_size


_SECTIONS = {"epochs": "Steps", "architecture": "Network", "loss": "Loss", "device": "Machine", "fold": "Data"}
"""The first setting of each section, and the section's title."""


def _sections() -> Iterator[tuple[str, str]]:
    title = ""
    for name in TrainingConfig.model_fields:
        title = _SECTIONS.get(name, title)
        yield name, title


SECTION_OF = dict(_sections())
"""The title of the section that each setting is in."""
