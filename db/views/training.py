"""Views of trainings: splits, prepared cases, runs and their epochs."""

from pydantic import BaseModel

from db.views.view import View
from kits_core.network.config import TrainingConfig
from kits_core.recipe import Recipe

_KINDS = {int: "int", float: "float", bool: "bool"}


def _settings(model: type[BaseModel], column: str) -> dict[str, str]:
    """A column of SQL for each setting, by its name; a run that is older than a setting has its default."""
    return {name: _setting(column, name, field.annotation, field.default) for name, field in model.model_fields.items()}


def _setting(column: str, name: str, annotation: object, default: object) -> str:
    kinds = [_KINDS[kind] for kind in _KINDS if annotation in (kind, kind | None)]
    value = f"json_{kinds[0] if kinds else 'text'}({column}, '{name}')"
    if default is None or isinstance(default, tuple):
        return value
    literal = f"'{default}'" if isinstance(default, str) else str(default).upper()
    return f"COALESCE({value}, {literal})"


def _meanings(model: type[BaseModel], of: str) -> dict[str, str]:
    return {name: f"setting of the {of}: {field.description}" for name, field in model.model_fields.items()}


_RECIPE, _TRAINING = _settings(Recipe, "c.settings"), _settings(TrainingConfig, "t.config")


def _selected(settings: dict[str, str]) -> str:
    return ",\n           ".join(f"{sql} AS {name}" for name, sql in settings.items())


def _as_text(sql: str) -> str:
    if "json_bool(" in sql:
        return f"CASE WHEN {sql} THEN 'true' ELSE 'false' END"
    return f"COALESCE(CAST({sql} AS TEXT), 'none')"


RUN_OVERVIEW = View(
    "run_overview",
    "One row a training run: its settings one a column, how it went, and where.",
    {
        "run_id": "number of the training run",
        "dataset": "name of the dataset; NULL for a run of another home, whose model was imported",
        "status": "running, completed, failed, cancelled or crashed",
        "error": "why it ended without a model; NULL where it did not",
        "started_at": "when it was first started (UTC)",
        "ended_at": "when it ended (UTC); NULL while it runs",
        "hours_ago": "hours since it was first started",
        "seconds": "from the first start to the end, breaks included; NULL while it runs",
        "training_seconds": "that its epochs took together",
        "ran_on": "the graphics card, or the CPU where it trained on that; of several machines all, `, then ` between",
        "cpu": "processor of the machine",
        "gpus": "graphics cards of the machine, or none",
        "backend": "tensorflow or jax",
        "revision": "commit of this code, where it ran from a checkout",
        "recipe_hash": "the recipe",
        "split_id": "number of the split; NULL for an imported run",
        **_meanings(Recipe, "recipe"),
        **_meanings(TrainingConfig, "training"),
        "cases": "cases that it has read, to train on or to validate",
        "epochs_done": "epochs that were finished",
        "model_id": "number of its model; NULL without one",
        "best_epoch": "epoch of the model",
        "best_score": "mean validation Dice of kidney and tumour of the model, on the recipe's grid",
        "parameters": "weights of the model",
        "is_champion": "whether prediction uses its model unless told otherwise",
        "forgotten_cases": "cases that it has read and that were removed for good since",
        "flow_run_id": "the Prefect flow run that took it up last; NULL outside one",
        "imported_from": "dataset of another home that an imported model has learnt; NULL for a run of this home",
    },
    f"""
    SELECT t.id AS run_id, d.name AS dataset, t.status, t.error, t.started_at, t.ended_at,
           seconds_between(t.started_at, CURRENT_TIMESTAMP) / 3600 AS hours_ago,
           seconds_between(t.started_at, t.ended_at) AS seconds,
           (SELECT SUM(e.value) FROM epoch_metric e WHERE e.run_id = t.id AND e.name = 'seconds') AS training_seconds,
           CASE WHEN {_TRAINING["device"]} = 'cpu' OR json_text(t.environment, 'gpus') = 'none'
                THEN json_text(t.environment, 'cpu') ELSE json_text(t.environment, 'gpus') END AS ran_on,
           json_text(t.environment, 'cpu') AS cpu, json_text(t.environment, 'gpus') AS gpus,
           json_text(t.environment, 'backend') AS backend, json_text(t.environment, 'revision') AS revision,
           c.hash AS recipe_hash, t.split_id,
           {_selected(_RECIPE)},
           {_selected(_TRAINING)},
           (SELECT COUNT(*) FROM trained_case k WHERE k.run_id = t.id) AS cases,
           (SELECT COALESCE(MAX(e.epoch), 0) FROM epoch_metric e WHERE e.run_id = t.id) AS epochs_done,
           m.id AS model_id, m.epoch AS best_epoch, m.score AS best_score, m.parameters,
           COALESCE(m.is_champion, FALSE) AS is_champion, t.forgotten_cases, t.flow_run_id,
           json_text(t.imported, 'dataset') AS imported_from
    FROM training_run t
    JOIN recipe c ON c.id = t.recipe_id
    LEFT JOIN split s ON s.id = t.split_id
    LEFT JOIN dataset d ON d.id = s.dataset_id
    LEFT JOIN model m ON m.run_id = t.id
    """,  # noqa: S608 - names of our own settings
)

RUN_SETTING = View(
    "run_setting",
    "One row a setting of a training run, of its recipe or of the training: to see in what runs differ.",
    {
        "run_id": "number of the training run",
        "part": "recipe or training",
        "setting": "name of the setting, as a column of `run_overview`",
        "value": "its value as text; none where it is empty",
    },
    "    UNION ALL".join(
        f"""
    SELECT t.id AS run_id, '{part}' AS part, '{name}' AS setting, {_as_text(sql)} AS value
    FROM training_run t JOIN recipe c ON c.id = t.recipe_id
"""  # noqa: S608 - names of our own settings
        for part, settings in (("recipe", _RECIPE), ("training", _TRAINING))
        for name, sql in settings.items()
    ),
)

LEARNING_CURVE = View(
    "learning_curve",
    "One row an epoch of a training run, its values side by side.",
    {
        "run_id": "number of the training run",
        "epoch": "number of the epoch, from 1",
        "loss": "mean over the epoch's steps",
        "kidney_dice": "mean over the validation cases, on the recipe's grid",
        "tumor_dice": "mean over the validation cases, on the recipe's grid",
        "score": "mean of the two, by which the best epoch is chosen",
        "learning_rate": "step size",
        "seconds": "that the epoch took, validation included",
        "step_seconds": "of these, what its steps took",
        "is_best": "whether the run's model is of this epoch",
    },
    """
    SELECT e.run_id, e.epoch,
           MAX(CASE WHEN e.name = 'loss' THEN e.value END) AS loss,
           MAX(CASE WHEN e.name = 'kidney_dice' THEN e.value END) AS kidney_dice,
           MAX(CASE WHEN e.name = 'tumor_dice' THEN e.value END) AS tumor_dice,
           MAX(CASE WHEN e.name = 'score' THEN e.value END) AS score,
           MAX(CASE WHEN e.name = 'learning_rate' THEN e.value END) AS learning_rate,
           MAX(CASE WHEN e.name = 'seconds' THEN e.value END) AS seconds,
           MAX(CASE WHEN e.name = 'step_seconds' THEN e.value END) AS step_seconds,
           COALESCE(e.epoch = m.epoch, FALSE) AS is_best
    FROM epoch_metric e
    LEFT JOIN model m ON m.run_id = e.run_id
    GROUP BY e.run_id, e.epoch, m.epoch
    """,
)

SPLIT_OVERVIEW = View(
    "split_overview",
    "One row a split of a dataset into what is trained on and what is held out.",
    {
        "split_id": "number of the split",
        "dataset": "name of the dataset",
        "split_hash": "of its cases, their strata and the settings",
        "seed": "of the draw",
        "validation_fraction": "share that was to be held out",
        "folds": "how many folds its cases are in, beside the two sides; NULL for none",
        "kept_split_id": "number of the split whose sides it keeps, with the cases that came later; NULL for none",
        "train_cases": "how many cases are trained on",
        "validation_cases": "how many cases are held out",
        "runs": "how many training runs use it",
        "made_at": "when it was made (UTC)",
        "flow_run_id": "the Prefect flow run that made it; NULL outside one",
    },
    """
    SELECT s.id AS split_id, d.name AS dataset, s.hash AS split_hash, s.seed, s.validation_fraction, s.folds,
           s.kept_id AS kept_split_id,
           (SELECT COUNT(*) FROM split_member m WHERE m.split_id = s.id AND m.subset = 'train') AS train_cases,
           (SELECT COUNT(*) FROM split_member m WHERE m.split_id = s.id AND m.subset = 'validation')
               AS validation_cases,
           (SELECT COUNT(*) FROM training_run t WHERE t.split_id = s.id) AS runs,
           s.created_at AS made_at, s.flow_run_id
    FROM split s
    JOIN dataset d ON d.id = s.dataset_id
    """,
)

SPLIT_CASE = View(
    "split_case",
    "One row a case of a split: its side and its fold.",
    {
        "split_id": "number of the split",
        "dataset": "name of the dataset",
        "case_name": "name of the case",
        "subset": "train or validation",
        "fold": "number of its fold, from 0, which a training may hold out instead; NULL where the split has none",
        "stratum": "what it was drawn among: cases that are alike",
    },
    """
    SELECT m.split_id, d.name AS dataset, c.name AS case_name, m.subset, m.fold, m.stratum
    FROM split_member m
    JOIN "case" c ON c.id = m.case_id
    JOIN dataset d ON d.id = c.dataset_id
    """,
)

PREPARED_OVERVIEW = View(
    "prepared_overview",
    "One row a case on a recipe's grid: what it cost, what the grid keeps of it, and whether its files still hold.",
    {
        "prepared_case_id": "its number, as in `stale` and in the lineage",
        "dataset": "name of the dataset",
        "case_name": "name of the case",
        "recipe_hash": "the recipe",
        "frame": "volume, the whole scan, or kidneys, a box around them",
        "shape": "voxels along each side of the grid",
        "made_at": "when it was prepared (UTC)",
        "seconds": "that it took",
        "peak_bytes": "most memory of the process; NULL where it was not measured",
        "bytes": "of its files; NULL where it was prepared before version 0015",
        "kidney_kept": "share of the kidneys' voxels inside the grid; NULL where there are none",
        "tumor_kept": "share of the tumours' voxels inside the grid; NULL where there are none",
        "cyst_kept": "share of the cysts' voxels inside the grid; NULL where there are none",
        "kidney_ml": "volume of kidney on the grid, as the network is to find it, ml",
        "tumor_ml": "volume of tumour on the grid, as the network is to find it, ml",
        "kidney_ceiling": "Dice of kidney that a perfect model would get, on the original grid",
        "tumor_ceiling": "Dice of tumour that a perfect model would get, on the original grid",
        "tumor_surface_ceiling": "surface Dice of tumour that a perfect model would get",
        "changed": "image or segmentation, which was replaced at its source since; NULL where the files still hold",
        "image_path": "of the prepared image, below the home",
        "flow_run_id": "the Prefect flow run that prepared it; NULL outside one",
    },
    f"""
    SELECT p.id AS prepared_case_id, d.name AS dataset, n.name AS case_name, c.hash AS recipe_hash,
           {_RECIPE["frame"]} AS frame, {_RECIPE["shape"]} AS shape, p.created_at AS made_at, p.seconds, p.peak_bytes,
           p.bytes, p.kidney_kept, p.tumor_kept, p.cyst_kept, p.kidney_ml, p.tumor_ml, k.value AS kidney_ceiling,
           t.value AS tumor_ceiling, u.value AS tumor_surface_ceiling,
           CASE WHEN i.sha256 <> p.source_image_sha256 THEN 'image'
                WHEN g.sha256 <> COALESCE(p.source_segmentation_sha256, '') THEN 'segmentation' END AS changed,
           p.image_path, p.flow_run_id
    FROM prepared_case p
    JOIN recipe c ON c.id = p.recipe_id
    JOIN "case" n ON n.id = p.case_id
    JOIN dataset d ON d.id = n.dataset_id
    LEFT JOIN ceiling k ON k.prepared_case_id = p.id AND k.region = 'kidney' AND k.metric = 'dice'
    LEFT JOIN ceiling t ON t.prepared_case_id = p.id AND t.region = 'tumor' AND t.metric = 'dice'
    LEFT JOIN ceiling u ON u.prepared_case_id = p.id AND u.region = 'tumor' AND u.metric = 'surface_dice'
    LEFT JOIN case_file i ON i.case_id = p.case_id AND i.kind = 'image' AND i.superseded_at IS NULL
    LEFT JOIN case_file g ON g.case_id = p.case_id AND g.kind = 'segmentation' AND g.superseded_at IS NULL
    """,  # noqa: S608 - names of our own settings
)
