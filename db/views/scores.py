"""Views of evaluations and what they measured."""

from db.views.view import View

CASE_METRIC_WIDE = View(
    "case_metric_wide",
    "One row an evaluation, case and region, the metrics side by side.",
    {
        "evaluation_id": "number of the evaluation",
        "model_id": "number of the model",
        "subset": "train or validation",
        "case_name": "name of the case",
        "region": "kidney, tumor, foreground, kidney_and_mass or mass",
        "status": "ok, prediction_empty, reference_empty, both_empty or missing",
        "dice": "Dice, 0 to 1; 1 where both masks are empty, 0 where one is or the prediction is missing",
        "iou": "intersection over union, 0 to 1",
        "volumetric_similarity": "0 to 1",
        "hausdorff_mm": "Hausdorff distance, mm; NULL where a mask is empty",
        "hausdorff95_mm": "95th percentile of it, mm; NULL where a mask is empty",
        "mean_surface_distance_mm": "mean distance of the surfaces, mm; NULL where a mask is empty",
        "prediction_ml": "volume of the prediction, ml; NULL where it is missing",
        "reference_ml": "volume of the reference, ml",
        "run_id": "number of the training run that left the model",
        "dataset": "name of the dataset",
        "surface_dice": "surface Dice at the challenge's tolerance, 0 to 1; NULL for kidney and foreground",
        "detected": "1 where prediction and reference share a voxel, else 0; NULL where the reference is empty",
        "ceiling": "Dice of a perfect model through the recipe; NULL where the case was not prepared",
        "more_metrics": "metrics that were added, a JSON object by name; NULL where there are none",
    },
    """
    SELECT m.evaluation_id, e.model_id, e.subset, c.name AS case_name, m.region, m.status, m.dice, m.iou,
           m.volumetric_similarity, m.hausdorff_mm, m.hausdorff95_mm, m.mean_surface_distance_mm, m.prediction_ml,
           m.reference_ml, o.run_id, d.name AS dataset, m.surface_dice, m.detected, g.value AS ceiling,
           m.more_metrics
    FROM case_score m
    JOIN evaluation e ON e.id = m.evaluation_id
    JOIN model o ON o.id = e.model_id
    JOIN training_run t ON t.id = o.run_id
    JOIN "case" c ON c.id = m.case_id
    JOIN dataset d ON d.id = c.dataset_id
    LEFT JOIN prepared_case p ON p.case_id = m.case_id AND p.recipe_id = t.recipe_id
    LEFT JOIN ceiling g ON g.prepared_case_id = p.id AND g.region = m.region AND g.metric = 'dice'
    """,
)

LEADERBOARD = View(
    "leaderboard",
    "One row an evaluation, with means over its cases.",
    {
        "evaluation_id": "number of the evaluation",
        "model_id": "number of the model",
        "run_id": "number of its training run",
        "dataset": "name of the dataset",
        "subset": "train or validation",
        "recipe_hash": "the recipe",
        "split_id": "number of the split",
        "cases": "how many cases were scored",
        "kidney_dice": "mean over the cases, original grid",
        "tumor_dice": "mean over the cases, original grid",
        "foreground_dice": "mean over the cases, original grid",
        "epoch": "epoch of the checkpoint",
        "is_champion": "whether prediction uses this model unless told otherwise",
        "status": "running, completed, failed, cancelled or crashed",
        "flips": "whether predictions are the mean of a scan and its mirror image",
        "missing_cases": "cases without a prediction, which count as zero",
        "official_dice": "mean over the challenge's three regions of the mean Dice: what it ranks by",
        "official_surface_dice": "the same of surface Dice",
        "forgotten_cases": "cases that were scored and removed for good since, which the means no longer have",
        "forgotten_training_cases": "cases that the model has seen and that were removed for good since",
    },
    """
    SELECT e.id AS evaluation_id, e.model_id, o.run_id, d.name AS dataset, e.subset, p.hash AS recipe_hash, e.split_id,
           COALESCE(MAX(m.cases), 0) AS cases,
           MAX(CASE WHEN m.region = 'kidney' THEN m.dice END) AS kidney_dice,
           MAX(CASE WHEN m.region = 'tumor' THEN m.dice END) AS tumor_dice,
           MAX(CASE WHEN m.region = 'foreground' THEN m.dice END) AS foreground_dice,
           o.epoch, o.is_champion, e.status, e.flips, COALESCE(MAX(m.missing), 0) AS missing_cases,
           (MAX(CASE WHEN m.region = 'kidney_and_mass' THEN m.dice END)
            + MAX(CASE WHEN m.region = 'mass' THEN m.dice END)
            + MAX(CASE WHEN m.region = 'tumor' THEN m.dice END)) / 3 AS official_dice,
           (MAX(CASE WHEN m.region = 'kidney_and_mass' THEN m.surface_dice END)
            + MAX(CASE WHEN m.region = 'mass' THEN m.surface_dice END)
            + MAX(CASE WHEN m.region = 'tumor' THEN m.surface_dice END)) / 3 AS official_surface_dice,
           e.forgotten_cases, r.forgotten_cases AS forgotten_training_cases
    FROM evaluation e
    JOIN model o ON o.id = e.model_id
    JOIN training_run r ON r.id = o.run_id
    JOIN recipe p ON p.id = r.recipe_id
    JOIN split s ON s.id = e.split_id
    JOIN dataset d ON d.id = s.dataset_id
    LEFT JOIN (
        SELECT evaluation_id, region, COUNT(*) AS cases, AVG(dice) AS dice, AVG(surface_dice) AS surface_dice,
               COUNT(CASE WHEN status = 'missing' THEN 1 END) AS missing
        FROM case_score
        GROUP BY evaluation_id, region
    ) m ON m.evaluation_id = e.id
    GROUP BY e.id, e.model_id, o.run_id, d.name, e.subset, p.hash, e.split_id, o.epoch, o.is_champion, e.status,
             e.flips, e.forgotten_cases, r.forgotten_cases
    """,
)

WORST_CASE = View(
    "worst_case",
    "The cases of each evaluation from the worst tumour Dice on.",
    {
        "evaluation_id": "number of the evaluation",
        "place": "1 is the worst; a case without a value comes before all others",
        "case_name": "name of the case",
        "tumor_dice": "Dice of the tumour, original grid",
        "kidney_dice": "Dice of the kidney, original grid",
        "tumor_ml": "volume of the tumour in the reference, ml",
    },
    """
    SELECT t.evaluation_id, t.place, t.case_name, t.dice AS tumor_dice, k.dice AS kidney_dice, v.ml AS tumor_ml
    FROM (
        SELECT m.evaluation_id, m.case_id, c.name AS case_name, m.dice,
               ROW_NUMBER() OVER (PARTITION BY m.evaluation_id ORDER BY m.dice NULLS FIRST, c.name) AS place
        FROM case_score m
        JOIN "case" c ON c.id = m.case_id
        WHERE m.region = 'tumor'
    ) t
    LEFT JOIN case_score k ON k.evaluation_id = t.evaluation_id AND k.case_id = t.case_id AND k.region = 'kidney'
    LEFT JOIN label_volume v ON v.case_id = t.case_id AND v.label = 2
    """,
)

MEASUREMENT_ERROR = View(
    "measurement_error",
    "One row a measurement of a kidney or tumour of an evaluated case: as the reference has it and as the model does.",
    {
        "evaluation_id": "number of the evaluation",
        "model_id": "number of the model",
        "dataset": "name of the dataset",
        "case_name": "name of the case",
        "structure": "kidney_left, kidney_right, kidney_fused, no_kidney, tumor_1, ... as the reference has them, the "
        "largest tumour first; found_1, ... are tumours that only the model sees",
        "side": "left, right, fused, or none where no kidney lies beside it",
        "measurement": "what is measured, with its unit; a scan's plan.json defines each",
        "reference": "value by the reference; NULL where it has no such structure, or no such value of it",
        "prediction": "value by the prediction; NULL where it has no such structure, or no such value of it",
        "error": "prediction minus reference; NULL where either has none",
    },
    """
    SELECT v.evaluation_id, e.model_id, d.name AS dataset, c.name AS case_name, v.structure, v.side,
           v.name AS measurement, v.reference, v.prediction, v.prediction - v.reference AS error
    FROM case_measurement v
    JOIN evaluation e ON e.id = v.evaluation_id
    JOIN "case" c ON c.id = v.case_id
    JOIN dataset d ON d.id = c.dataset_id
    """,
)

EVALUATION_OVERVIEW = View(
    "evaluation_overview",
    "One row an evaluation: what was evaluated, when, by what, and how that stands. Its scores: `leaderboard`.",
    {
        "evaluation_id": "number of the evaluation",
        "model_id": "number of the model",
        "run_id": "number of the training run that left the model",
        "dataset": "name of the dataset",
        "split_id": "number of the split",
        "subset": "train or validation",
        "status": "running, completed, failed, cancelled or crashed",
        "started_at": "when it was first started (UTC)",
        "ended_at": "when it ended (UTC); NULL while it runs",
        "hours_ago": "hours since it was first started",
        "seconds": "from the first start to the end, breaks included; NULL while it runs",
        "cases": "cases that have scores until now, missing ones included",
        "missing_cases": "cases without a prediction, which count as zero",
        "flips": "whether predictions are the mean of a scan and its mirror image",
        "locator_model_id": "number of the model that found the kidneys; NULL where none was needed",
        "cleanup": "rules by which small islands were removed, a JSON object; NULL until that is decided",
        "report_path": "of the report, below the home; NULL without one",
        "forgotten_cases": "cases that were scored and removed for good since",
        "flow_run_id": "the Prefect flow run that took it up last; NULL outside one",
    },
    """
    SELECT e.id AS evaluation_id, e.model_id, o.run_id, d.name AS dataset, e.split_id, e.subset, e.status, e.started_at,
           e.ended_at, seconds_between(e.started_at, CURRENT_TIMESTAMP) / 3600 AS hours_ago,
           seconds_between(e.started_at, e.ended_at) AS seconds,
           (SELECT COUNT(DISTINCT m.case_id) FROM case_score m WHERE m.evaluation_id = e.id) AS cases,
           (SELECT COUNT(DISTINCT m.case_id) FROM case_score m WHERE m.evaluation_id = e.id AND m.status = 'missing')
               AS missing_cases,
           e.flips, e.locator_id AS locator_model_id, e.cleanup, e.report_path, e.forgotten_cases, e.flow_run_id
    FROM evaluation e
    JOIN model o ON o.id = e.model_id
    JOIN split s ON s.id = e.split_id
    JOIN dataset d ON d.id = s.dataset_id
    """,
)
