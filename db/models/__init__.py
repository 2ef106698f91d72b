"""The catalog's tables."""

from db.models.base import Base
from db.models.dataset import (
    Case,
    CaseFile,
    CaseStatus,
    ClinicalRecord,
    Dataset,
    FileKind,
    Forgotten,
    LabelVolume,
    Phase,
    Problem,
)
from db.models.evaluation import CaseMeasurement, CaseScore, Evaluation, ScoredCase
from db.models.prediction import Measurement, Prediction, PredictionModel
from db.models.preparation import Ceiling, PreparedCase, Recipe
from db.models.split import Split, SplitMember, Subset
from db.models.training import EpochMetric, Model, RunStatus, TrainedCase, TrainingRun

__all__ = [
    "Base",
    "Case",
    "CaseFile",
    "CaseMeasurement",
    "CaseScore",
    "CaseStatus",
    "Ceiling",
    "ClinicalRecord",
    "Dataset",
    "EpochMetric",
    "Evaluation",
    "FileKind",
    "Forgotten",
    "LabelVolume",
    "Measurement",
    "Model",
    "Phase",
    "Prediction",
    "PredictionModel",
    "PreparedCase",
    "Problem",
    "Recipe",
    "RunStatus",
    "ScoredCase",
    "Split",
    "SplitMember",
    "Subset",
    "TrainedCase",
    "TrainingRun",
]
