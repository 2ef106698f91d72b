"""What each flow takes: frozen models, which the dashboard turns into forms and refuses before a run exists."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from flows.train_form import arrange, from_form
from kits_core.errors import KitsError
from kits_core.form import suit_a_form, title_of
from kits_core.label_map import LabelMap
from kits_core.network.config import TrainingConfig
from kits_core.network.presets import Preset
from kits_core.pseudonyms import is_pseudonym
from kits_core.recipe.recipe import Recipe
from kits_core.source.address import check_address, check_dataset_name
from kits_core.source.layout import Reading, check_pattern
from kits_core.source.layouts import LAYOUTS
from kits_core.source.preset import NAME
from kits_core.source.selection import check_cases
from kits_core.text import one_line

T = TypeVar("T")
Labels = dict[str, Literal["background", "kidney", "tumor", "cyst"]]
_DEIDENTIFY = "Pseudonyms in place of names, ids, dates and paths, in everything that is written (docs/patients.md)."


class Parameters(BaseModel):
    """What a flow takes, and what it is called."""

    FLOW: ClassVar[str]
    """The flow's name."""
    RUN: ClassVar[str]
    """The name of its runs, as Prefect formats it: by what was asked for."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", field_title_generator=title_of, json_schema_extra=suit_a_form
    )


class _SourceParameters(Parameters):
    source: str = Field(
        "kits23", description="kits23, a URL in the official dataset layout, or a folder in any of the layouts."
    )
    dataset: str | None = Field(None, description="Name in the catalog; empty takes the source's own name.")
    cases: str | None = Field(
        None, description="Cases: ids and ranges, as 0-9,400, names, or patterns, as site1_*; empty takes all."
    )

    layout: Annotated[str, AfterValidator(LAYOUTS.check)] | None = Field(
        None,
        title="Layout of the folder",
        description="How a folder's files lie. Left empty, that is found out.",
        json_schema_extra=LAYOUTS.choices(),
    )
    labels: Labels = Field(
        default_factory=dict,
        title="Labels",
        description="What each name, or each value, of a structure means: kidney, tumor, cyst or background; as JSON: "
        '{"renal mass": "tumor"}. Usual names need none.',
    )
    images: str | None = Field(
        None,
        title="Pattern of the scans",
        description="Where the scans lie below the folder, as scans/{case}_ct.nii.gz. Left empty, that is found out.",
    )
    masks: str | None = Field(
        None,
        title="Pattern of the masks",
        description="The same for the masks. Left empty where the scans have a pattern, there are no masks.",
    )
    replace_source: bool = Field(
        False,
        title="Replace the source",
        description="The dataset's data moved: from now on they come from this source.",
    )

    @field_validator("images", "masks")
    @classmethod
    def _with_a_place_for_the_case(cls, pattern: str | None) -> str | None:
        return None if pattern is None else _refused_as_a_value(check_pattern, pattern)

    @model_validator(mode="after")
    def _patterns_of_pairs(self) -> Self:
        if self.masks is not None and self.images is None:
            raise ValueError("masks were given without images: expected patterns of both")
        if self.images is not None and self.layout not in (None, "pairs"):
            raise ValueError(f"images and masks are patterns of the layout pairs, got the layout {self.layout}")
        return self

    @property
    def reading(self) -> Reading:
        """What is said of a folder's labels and files. Raises `KitsError` for one name with two labels."""
        return Reading(LabelMap.of(self.labels), self.images, self.masks)

    @field_validator("dataset")
    @classmethod
    def _usable_as_a_folder(cls, dataset: str | None) -> str | None:
        return None if dataset is None else _refused_as_a_value(check_dataset_name, dataset)

    @field_validator("cases")
    @classmethod
    def _ids_and_ranges(cls, cases: str | None) -> str | None:
        if cases is not None and not is_pseudonym(cases):
            _refused_as_a_value(check_cases, cases)
        return cases

    @field_validator("source")
    @classmethod
    def _without_secrets(cls, source: str) -> str:
        return check_address(source)  # raises what shows nothing of the address, unlike a validation error

    def of_ingestion(self) -> "IngestParameters":
        """What is said here of the source, as the parameters of an ingestion."""
        return IngestParameters(**self.model_dump(include=set(_SourceParameters.model_fields)))

    @property
    def shown_source(self) -> str:
        """The source, for a run's name."""
        return one_line(self.source)


def _refused_as_a_value(check: Callable[[str], T], text: str) -> T:
    """What a check of `kits_core` says; its refusal becomes a validation error, which names the field."""
    try:
        return check(text)
    except KitsError as error:
        raise ValueError(str(error)) from error


class IngestParameters(_SourceParameters):
    """From a source to verified, converted files and rows in the catalog."""

    FLOW = "ingest"
    RUN = "ingest · {parameters.shown_source}"

    workers: int = Field(8, ge=1, le=64, title="Cases at once", description="Cases that are downloaded at once.")
    megabytes_per_second: float | None = Field(
        None,
        gt=0,
        title="Limit (MB/s)",
        description="Most that is downloaded in a second, over all cases; empty sets no limit.",
    )
    keep_archives: bool = Field(
        False, title="Keep the archives", description="Keep the .nii.gz files beside the converted ones."
    )
    deidentify: bool = Field(False, title="De-identify", description=_DEIDENTIFY)
    allowed_failures: float = Field(
        0.05,
        ge=0,
        le=1,
        title="Allowed failures (share)",
        description="Share of cases that may end in quarantine before the flow counts as failed.",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.deidentify and self.keep_archives:
            raise ValueError("archives hold names in their headers: expected deidentify or keep_archives, got both")
        if self.deidentify and self.source == NAME:
            raise ValueError(f"{NAME} names nobody: expected a source of one's own to de-identify")
        return self


class PrepareParameters(Parameters):
    """From ingested cases to network inputs."""

    FLOW = "prepare"
    RUN = "prepare · {parameters.in_words}"

    dataset: str | None = Field(None, description="Name in the catalog; empty takes the only one there is.")
    recipe: Recipe = Field(default_factory=Recipe, description="How a case becomes a network input.")
    for_model: str | None = Field(
        None,
        pattern=r"^(champion|latest|\d+)$",
        title="For the model",
        description="champion, latest, or a model's id: prepare by this model's recipe, whatever stands here. Empty "
        "takes the recipe here.",
    )
    workers: int = Field(2, ge=1, le=64, title="Cases at once", description="Cases that are prepared at once.")
    least_tumor_kept: float = Field(
        0.99,
        ge=0,
        le=1,
        title="Least tumour kept (share)",
        description="The flow stops if less of any tumour than this lies inside the grid.",
    )
    allowed_failures: float = Field(
        0.05,
        ge=0,
        le=1,
        title="Allowed failures (share)",
        description="Share of cases that the recipe may refuse before the flow counts as failed.",
    )

    @property
    def in_words(self) -> str:
        """By what is prepared, for a run's name, as `kidneys 128`."""
        if self.for_model is not None:
            return f"for model {self.for_model}"
        return f"{self.recipe.frame} {self.recipe.shape}"


class SplitParameters(Parameters):
    """From ingested cases with a reference to a stratified split."""

    FLOW = "split"
    RUN = "split · seed {parameters.seed}"

    dataset: str | None = Field(None, description="Name in the catalog; empty takes the only one there is.")
    validation: float = Field(
        0.2, gt=0, lt=1, title="Validation (share)", description="Share of the cases held out of training."
    )
    folds: int | None = Field(None, ge=2, le=20, description="Folds of a cross-validation; empty makes none.")
    seed: int = Field(23, ge=0, description="Another seed, another split.")
    own: str | None = Field(
        None,
        title="File with own folds",
        description="File with folds of your own, as the machine sees it that works on it: nnU-Net's "
        "splits_final.json, or a CSV of case and fold, or of case and subset. Empty makes a split.",
    )

    keep: int | None = Field(
        None,
        ge=1,
        title="Split to keep",
        description="Id of a split whose cases stay on their sides, and in their folds; later cases join them. Empty "
        "makes a split anew.",
    )

    @model_validator(mode="after")
    def _made_or_own(self) -> Self:
        if self.keep is not None and (self.own is not None or self.folds is not None):
            raise ValueError("a split that is kept has its own folds: expected keep without folds and without a file")
        if self.own is not None and self.model_fields_set & {"validation", "folds", "seed"}:
            raise ValueError("a file of own folds says all: expected it, or validation, folds and seed, got both")
        return self


class TrainParameters(Parameters):
    """From a recipe and a split to a registered model."""

    FLOW = "train"
    RUN = "train · {parameters.in_words}"

    model_config = ConfigDict(json_schema_extra=arrange)

    dataset: str | None = Field(None, description="Name in the catalog; empty takes the only one there is.")
    split: int | None = Field(None, description="Id of the split; empty takes the dataset's newest.")
    prepared: int | None = Field(
        None,
        title="Recipe",
        description="Whose prepared files are used: its number and name. Empty takes the default recipe, or, where "
        "nothing was prepared by that, the newest.",
        json_schema_extra={"type": "string", "pattern": r"^\d+( · .*)?$"},
    )
    recipe: Recipe | None = Field(None, description="The same, with all settings written out.")
    preset: Preset = Field(
        "reference",
        description="Settings that go together: reference is a published recipe, strong learnt both classes better "
        "in the same time. What is set by itself counts before it.",
    )
    config: TrainingConfig = Field(
        default_factory=TrainingConfig, title="Settings", description="Settings of the training."
    )
    from_model: str | None = Field(
        None,
        pattern=r"^(champion|latest|\d+)$",
        title="Begin with the model",
        description="champion, latest, or a model's id: begin with its weights. Recipe, architecture, filters, "
        "normalisation and deep supervision are then that model's, whatever stands here. Empty begins with random "
        "weights.",
    )
    cascade: bool = Field(
        False,
        title="Cascade of two networks",
        description="Train two networks: one of the whole scan, and one of the box around the kidneys that it finds.",
    )
    all_folds: bool = Field(
        False, title="All folds", description="Train once for each fold of the split, that fold held out."
    )
    evaluate: bool = Field(False, description="Score each model on original grids when it is trained.")
    champion_dice: float = Field(
        0.1,
        gt=0,
        le=1,
        title="Dice of a first champion",
        description="Validation Dice that a first model has to reach, of kidney and of tumour, to become the champion; "
        "later ones are proposed.",
    )
    resume: int | None = Field(
        None,
        title="Go on with run",
        description="Id of a run to go on with; its own settings count and all others here are left aside.",
    )

    extend: int | None = Field(
        None,
        title="Extend run",
        description="Id of a run to go on from, to the epochs that are set; otherwise its own settings count. It "
        "needs a part with a constant step size: all of it, or what comes before the epochs of decay.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_the_form(cls, asked: object) -> object:
        return from_form(asked) if isinstance(asked, Mapping) else asked

    @field_validator("prepared", mode="before")
    @classmethod
    def _number_before_the_name(cls, prepared: Any) -> Any:
        return prepared.partition(" · ")[0] if isinstance(prepared, str) else prepared

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.resume is not None and self.extend is not None:
            raise ValueError("expected a run to go on with or one to extend, got both")
        if self.config.begins_with is not None:
            raise ValueError("expected the model to begin with in from_model, got begins_with in the settings")
        if self.from_model is not None and (self.resume is not None or self.extend is not None or self.cascade):
            raise ValueError(
                "a training begins with the weights of one model: expected from_model without resume, extend or cascade"
            )
        if self.cascade and self.recipe is not None:
            check_cascade(self.recipe)
        if self.all_folds and self.config.fold is not None:
            raise ValueError(f"expected one fold or all, got both fold {self.config.fold} and all_folds")
        return self

    @property
    def in_words(self) -> str:
        """What is trained, for a run's name, as `kidneys 128 · split 3 · fold 1 · seed 23`."""
        if self.resume is not None:
            return f"run {self.resume} goes on"
        if self.extend is not None:
            return f"run {self.extend} · {self.config.epochs} epochs"
        fold = "all folds" if self.all_folds else None if self.config.fold is None else f"fold {self.config.fold}"
        parts = [
            self._recipe_in_words(),
            f"split {self.split}" if self.split is not None else "newest split",
            fold,
            f"seed {self.config.seed}",
        ]
        return " · ".join(part for part in parts if part)

    def _recipe_in_words(self) -> str:
        if self.from_model is not None:
            return f"from model {self.from_model}"
        if self.recipe is not None:
            return f"{'cascade' if self.cascade else self.recipe.frame} {self.recipe.shape}"
        words = ["cascade"] * self.cascade + [f"recipe {self.prepared}"] * (self.prepared is not None)
        return ", ".join(words)


def check_cascade(recipe: Recipe) -> None:
    """Raise `ValueError` for a recipe that a cascade cannot begin with."""
    if recipe.frame != "volume" or recipe.spacing_mm is not None:
        raise ValueError("a cascade begins with the whole scan: expected the frame volume without a spacing")


class PromoteParameters(Parameters):
    """Which model prediction uses from now on."""

    FLOW = "promote"
    RUN = "promote · model {parameters.model}"

    model: str = Field("latest", pattern=r"^(latest|\d+)$", description="latest, or a model's id.")


class EvaluateParameters(Parameters):
    """From a model and a subset of its split to scores on the original grid, and a report."""

    FLOW = "evaluate"
    RUN = "evaluate · model {parameters.model} · {parameters.subset}"

    model: str = Field("champion", pattern=r"^(champion|latest|\d+)$", description="champion, latest, or a model's id.")
    subset: Literal["validation", "train"] = Field("validation", description="Which side of the split is scored.")
    flips: bool = Field(
        False,
        title="Mirror images too",
        description="Average what the network says of each scan and of its mirror image.",
    )
    split: int | None = Field(
        None,
        ge=1,
        description="Id of the split whose cases are scored, for a model that was imported; empty for others.",
    )
    workers: int = Field(
        2, ge=1, le=64, title="Cases at once", description="Cases scored at once, each in a process of its own."
    )


class PredictParameters(Parameters):
    """From scans, NIfTI files or DICOM folders, to segmentations and surgical plans."""

    FLOW = "predict"
    RUN = "predict · model {parameters.model}"

    scans: list[str] = Field(
        min_length=1,
        description="NIfTI, NRRD or MetaImage files, folders of them, or DICOM folders, as the machine sees them that "
        "works on them.",
    )
    out: str | None = Field(
        None,
        title="Folder for the results",
        description="Folder for the results, a folder a scan in it; empty takes predictions/scans in the home.",
    )
    model: str = Field(
        "champion",
        pattern=r"^(champion|latest|\d+(,\d+)*)$",
        description="champion, latest, a model's id, or several ids (3,4,5) of one recipe, whose mean counts.",
    )
    series: str | None = Field(
        None, title="Series (UID)", description="SeriesInstanceUID, where a DICOM folder holds several CT series."
    )
    flips: bool = Field(
        False,
        title="Mirror images too",
        description="Average what the network says of each scan and of its mirror image.",
    )
    deidentify: bool = Field(False, title="De-identify", description=_DEIDENTIFY)
    watch: bool = Field(
        False,
        title="Folders are inboxes",
        description="The folders given are inboxes: each thing in them is a scan of its own, what is still being "
        "copied waits, and what was refused before is left until it changes.",
    )
    settle_seconds: int = Field(
        60,
        ge=0,
        le=86400,
        title="Settling time (s)",
        description="In an inbox: how long nothing of a scan may have changed before it is read.",
    )


class CorrectParameters(Parameters):
    """From a mask that a person corrected to the reference of a case."""

    FLOW = "correct"
    RUN = "correct · {parameters.shown_what}"

    what: str = Field(
        title="Case or plan",
        description="A case of the catalog, by its name or id; or the folder of a plan that kits predict or kits plan "
        "wrote, whose scan becomes a case.",
    )
    mask: str = Field(
        title="Corrected mask",
        description="The corrected segmentation: NIfTI, NRRD, DICOM SEG or RTSTRUCT, as the machine sees it that works "
        "on it.",
    )
    labels: Labels = Field(
        default_factory=dict,
        description="What each name, or each value, of a structure means: kidney, tumor, cyst or background; as JSON: "
        '{"renal mass": "tumor"}. Usual names and KiTS\'s values need none.',
    )
    by: str | None = Field(
        None, title="Corrected by", description="Who corrected it; empty takes the name of the account."
    )
    dataset: str | None = Field(
        None,
        description="Name in the catalog, where several have such a case; of a plan, the dataset that its scan comes "
        "into: empty takes corrections.",
    )
    out: str | None = Field(
        None,
        title="Folder for the plan",
        description="Folder for the plan of the corrected mask; empty takes that of the old one.",
    )

    @field_validator("dataset")
    @classmethod
    def _usable_as_a_folder(cls, dataset: str | None) -> str | None:
        return None if dataset is None else _refused_as_a_value(check_dataset_name, dataset)

    @property
    def shown_what(self) -> str:
        """The case or the plan's folder, for a run's name."""
        return one_line(self.what)


class LaidParameters(Parameters):
    """From masks that lie in the home's folder `corrections/` to references of the cases that they are called after."""

    FLOW = "correct-laid"
    RUN = "correct · what lies in corrections"

    settle_seconds: float = Field(
        30.0,
        ge=0,
        le=86400,
        title="Settling time (s)",
        description="How long nothing of a mask may have changed before it is taken.",
    )


class PipelineParameters(_SourceParameters):
    """The whole way, each stage with the settings of its own flow."""

    FLOW = "pipeline"
    RUN = "pipeline · {parameters.shown_source}"

    recipe: Recipe = Field(default_factory=Recipe, description="How a case becomes a network input.")
    validation: float = Field(
        0.2, gt=0, lt=1, title="Validation (share)", description="Share of the cases held out of training."
    )
    split_seed: int = Field(23, ge=0, title="Seed of the split", description="Another seed, another split.")
    config: TrainingConfig = Field(
        default_factory=TrainingConfig, title="Training", description="Settings of the training."
    )
