"""The settings of a training. Imports no Keras, so that forms and command lines can show them."""

import hashlib

from pydantic import BaseModel, ConfigDict, Field


class TrainingConfig(BaseModel):
    """The reference recipe's settings are the defaults: Adam 1e-4, batch 8, 50 epochs, patience 40, Focal Tversky."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(50, ge=1, le=10_000, description="Passes over the training cases.")
    batch_size: int = Field(8, ge=1, le=256, description="Cases per step; what memory allows.")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Adam's step size at the start.")
    final_learning_rate: float | None = Field(
        None, gt=0, le=1, description="Falls to this along a half cosine by the last epoch; empty keeps it constant."
    )
    patience: int = Field(40, ge=1, description="Epochs without a better validation score before training stops.")
    filters: int = Field(64, ge=4, le=128, multiple_of=4, description="Channels of the stem; 64 is ResNet-18.")
    miss_weight: float = Field(0.7, ge=0, le=1, description="Focal Tversky: weight of a missed voxel.")
    false_alarm_weight: float = Field(0.3, ge=0, le=1, description="Focal Tversky: weight of a voxel wrongly found.")
    focus: float = Field(0.75, gt=0, le=4, description="Focal Tversky: exponent; the paper's gamma of 4/3 is 0.75.")
    seed: int = Field(23, ge=0, description="Of initial weights, case order and augmentation.")

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that name these settings."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
