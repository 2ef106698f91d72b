"""The views: the catalog's public face for people who write SQL. Their columns never change meaning.

They keep to SQL that SQLite and PostgreSQL understand alike.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class View:
    """A view, each column with its meaning."""

    name: str
    description: str
    columns: dict[str, str]
    sql: str


CASE_OVERVIEW = View(
    "case_overview",
    "One row a case: where it stands, what it holds, who the patient is.",
    {
        "dataset": "name of the dataset",
        "case_name": "name of the case, as case_00000",
        "status": "pending, ingested or quarantined",
        "has_segmentation": "whether there is a reference",
        "phase": "contrast phase: arterial or nephrogenic; NULL if unknown",
        "sex": "as in the clinical record",
        "age_years": "age at nephrectomy",
        "tumor_histologic_subtype": "as in the clinical record",
        "pathology_t_stage": "as in the clinical record",
        "radiographic_size_cm": "largest tumour diameter that the radiologist gave, in cm",
        "image_shape": "voxels along each axis of the file, a JSON list",
        "image_spacing_mm": "distance of voxel centres along each axis of the file, in mm, a JSON list",
        "image_bytes": "size of the converted image",
        "image_notes": "what of the source's header a reader should know, a JSON list; NULL for files from before",
        "image_version": "1, and one more each time that the source had another image",
        "vanished_at": "when the source was first seen without the image (UTC); NULL while it has it",
        "kidney_ml": "volume of label 1 in the reference, ml",
        "tumor_ml": "volume of label 2 in the reference, ml",
        "cyst_ml": "volume of label 3 in the reference, ml",
    },
    """
    SELECT d.name AS dataset, c.name AS case_name, c.status, c.has_segmentation, c.phase, r.sex, r.age_years,
           r.tumor_histologic_subtype, r.pathology_t_stage, r.radiographic_size_cm,
           f.shape AS image_shape, f.spacing_mm AS image_spacing_mm, f.bytes AS image_bytes,
           f.notes AS image_notes, f.version AS image_version, f.vanished_at,
           k.ml AS kidney_ml, t.ml AS tumor_ml, y.ml AS cyst_ml
    FROM "case" c
    JOIN dataset d ON d.id = c.dataset_id
    LEFT JOIN clinical_record r ON r.case_id = c.id
    LEFT JOIN case_file f ON f.case_id = c.id AND f.kind = 'image' AND f.superseded_at IS NULL
    LEFT JOIN label_volume k ON k.case_id = c.id AND k.label = 1
    LEFT JOIN label_volume t ON t.case_id = c.id AND t.label = 2
    LEFT JOIN label_volume y ON y.case_id = c.id AND y.label = 3
    """,
)

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
    },
    """
    SELECT m.evaluation_id, e.model_id, e.subset, c.name AS case_name, m.region, MAX(m.status) AS status,
           MAX(CASE WHEN m.metric = 'dice' THEN m.value END) AS dice,
           MAX(CASE WHEN m.metric = 'iou' THEN m.value END) AS iou,
           MAX(CASE WHEN m.metric = 'volumetric_similarity' THEN m.value END) AS volumetric_similarity,
           MAX(CASE WHEN m.metric = 'hausdorff_mm' THEN m.value END) AS hausdorff_mm,
           MAX(CASE WHEN m.metric = 'hausdorff95_mm' THEN m.value END) AS hausdorff95_mm,
           MAX(CASE WHEN m.metric = 'mean_surface_distance_mm' THEN m.value END) AS mean_surface_distance_mm,
           MAX(CASE WHEN m.metric = 'prediction_ml' THEN m.value END) AS prediction_ml,
           MAX(CASE WHEN m.metric = 'reference_ml' THEN m.value END) AS reference_ml,
           o.run_id, d.name AS dataset,
           MAX(CASE WHEN m.metric = 'surface_dice' THEN m.value END) AS surface_dice,
           MAX(CASE WHEN m.metric = 'detected' THEN m.value END) AS detected,
           MAX(g.value) AS ceiling
    FROM case_metric m
    JOIN evaluation e ON e.id = m.evaluation_id
    JOIN model o ON o.id = e.model_id
    JOIN training_run t ON t.id = o.run_id
    LEFT JOIN prepared_case p ON p.case_id = m.case_id AND p.recipe_id = t.recipe_id
    LEFT JOIN ceiling g ON g.prepared_case_id = p.id AND g.region = m.region AND g.metric = 'dice'
    JOIN "case" c ON c.id = m.case_id
    JOIN dataset d ON d.id = c.dataset_id
    GROUP BY m.evaluation_id, e.model_id, e.subset, c.name, m.region, o.run_id, d.name
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
           COUNT(DISTINCT m.case_id) AS cases,
           AVG(CASE WHEN m.region = 'kidney' AND m.metric = 'dice' THEN m.value END) AS kidney_dice,
           AVG(CASE WHEN m.region = 'tumor' AND m.metric = 'dice' THEN m.value END) AS tumor_dice,
           AVG(CASE WHEN m.region = 'foreground' AND m.metric = 'dice' THEN m.value END) AS foreground_dice,
           o.epoch, o.is_champion, e.status, e.flips,
           COUNT(DISTINCT CASE WHEN m.status = 'missing' THEN m.case_id END) AS missing_cases,
           (AVG(CASE WHEN m.region = 'kidney_and_mass' AND m.metric = 'dice' THEN m.value END)
            + AVG(CASE WHEN m.region = 'mass' AND m.metric = 'dice' THEN m.value END)
            + AVG(CASE WHEN m.region = 'tumor' AND m.metric = 'dice' THEN m.value END)) / 3 AS official_dice,
           (AVG(CASE WHEN m.region = 'kidney_and_mass' AND m.metric = 'surface_dice' THEN m.value END)
            + AVG(CASE WHEN m.region = 'mass' AND m.metric = 'surface_dice' THEN m.value END)
            + AVG(CASE WHEN m.region = 'tumor' AND m.metric = 'surface_dice' THEN m.value END)) / 3
            AS official_surface_dice,
           e.forgotten_cases, r.forgotten_cases AS forgotten_training_cases
    FROM evaluation e
    JOIN model o ON o.id = e.model_id
    JOIN training_run r ON r.id = o.run_id
    JOIN recipe p ON p.id = r.recipe_id
    JOIN split s ON s.id = e.split_id
    JOIN dataset d ON d.id = s.dataset_id
    LEFT JOIN case_metric m ON m.evaluation_id = e.id AND m.metric IN ('dice', 'surface_dice')
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
    SELECT t.evaluation_id,
           ROW_NUMBER() OVER (PARTITION BY t.evaluation_id ORDER BY t.value NULLS FIRST, c.name) AS place,
           c.name AS case_name, t.value AS tumor_dice, k.value AS kidney_dice, v.ml AS tumor_ml
    FROM case_metric t
    JOIN "case" c ON c.id = t.case_id
    LEFT JOIN case_metric k ON k.evaluation_id = t.evaluation_id AND k.case_id = t.case_id
         AND k.region = 'kidney' AND k.metric = 'dice'
    LEFT JOIN label_volume v ON v.case_id = t.case_id AND v.label = 2
    WHERE t.region = 'tumor' AND t.metric = 'dice'
    """,
)

OPEN_PROBLEM = View(
    "open_problem",
    "What keeps cases from a stage now.",
    {
        "dataset": "name of the dataset",
        "case_name": "name of the case",
        "stage": "ingest, clinical (its record), prepare or evaluate",
        "error": "what was expected, what was got, what to do",
        "attempts": "how often it was met",
        "first_seen": "when it was first met (UTC)",
        "last_seen": "when it was last met (UTC)",
    },
    """
    SELECT d.name AS dataset, c.name AS case_name, p.stage, p.error, p.attempts, p.first_seen, p.last_seen
    FROM problem p
    JOIN "case" c ON c.id = p.case_id
    JOIN dataset d ON d.id = c.dataset_id
    WHERE p.resolved_at IS NULL
    """,
)

LINEAGE = View(
    "lineage",
    "One row an evaluated case: from its scores back to the file that was downloaded.",
    {
        "evaluation_id": "number of the evaluation",
        "case_name": "name of the case",
        "model_id": "number of the model",
        "model_sha256": "of the checkpoint",
        "run_id": "number of the training run",
        "split_hash": "the split",
        "recipe_hash": "the recipe",
        "prepared_image_sha256": "of the prepared image that the training read; validation cases are read too",
        "image_sha256": "of the converted image",
        "image_version": "of the image that was predicted from",
        "archive_sha256": "of the image as it was downloaded",
        "source_url": "where it was downloaded from",
        "reference_sha256": "of the converted segmentation that was scored against; NULL before version 0005",
        "locator_model_id": "number of the model that found the kidneys; NULL where none was needed",
    },
    """
    SELECT e.id AS evaluation_id, c.name AS case_name, e.model_id, o.sha256 AS model_sha256, o.run_id,
           s.hash AS split_hash, r.hash AS recipe_hash,
           COALESCE(d.image_sha256, p.image_sha256) AS prepared_image_sha256,
           f.sha256 AS image_sha256, f.version AS image_version, f.archive_sha256, f.source_url,
           k.reference_sha256, e.locator_id AS locator_model_id
    FROM (SELECT DISTINCT evaluation_id, case_id FROM case_metric) m
    JOIN evaluation e ON e.id = m.evaluation_id
    JOIN model o ON o.id = e.model_id
    JOIN training_run t ON t.id = o.run_id
    JOIN recipe r ON r.id = t.recipe_id
    JOIN split s ON s.id = t.split_id
    JOIN "case" c ON c.id = m.case_id
    LEFT JOIN trained_case d ON d.run_id = t.id AND d.case_id = c.id
    LEFT JOIN prepared_case p ON p.case_id = c.id AND p.recipe_id = r.id
    LEFT JOIN scored_case k ON k.evaluation_id = e.id AND k.case_id = c.id
    LEFT JOIN case_file f ON f.id = (
        SELECT MAX(g.id) FROM case_file g
        WHERE g.case_id = c.id AND g.kind = 'image' AND g.sha256 = COALESCE(k.image_sha256, p.source_image_sha256)
    )
    """,
)

PREDICTION_OVERVIEW = View(
    "prediction_overview",
    "One row a scan that was predicted from outside the catalog.",
    {
        "prediction_id": "number of the prediction",
        "scan": "name of the scan, and of its folder",
        "source": "where the scan was read from",
        "kind": "nifti or dicom",
        "series_uid": "SeriesInstanceUID of a DICOM series; NULL for NIfTI",
        "folder": "where the results were written",
        "status": "running, completed, failed, cancelled or crashed",
        "error": "why there is no plan; NULL where there is one",
        "flags": "in what the scan is unlike the training cases, a JSON list; NULL until that is known",
        "models": "how many networks' mean it is",
        "model_id": "number of the model; the first of several",
        "sha256": "of the scan's file, or of its slices' hashes",
        "tumors": "how many tumours were found",
        "largest_diameter_mm": "of the largest tumour, mm; NULL without one",
        "tumor_ml": "all tumours together, ml; NULL without a plan",
        "started_at": "when it began (UTC)",
        "ended_at": "when it ended (UTC)",
    },
    """
    SELECT p.id AS prediction_id, p.scan, p.source, p.kind, p.series_uid, p.folder, p.status, p.error, p.flags,
           (SELECT COUNT(*) FROM prediction_model m WHERE m.prediction_id = p.id AND NOT m.locates) AS models,
           (SELECT MIN(m.model_id) FROM prediction_model m WHERE m.prediction_id = p.id AND NOT m.locates) AS model_id,
           p.sha256,
           (SELECT COUNT(*) FROM measurement v WHERE v.prediction_id = p.id AND v.name = 'volume_ml') AS tumors,
           (SELECT MAX(v.value) FROM measurement v WHERE v.prediction_id = p.id AND v.name = 'diameter_mm')
               AS largest_diameter_mm,
           (SELECT SUM(v.value) FROM measurement v WHERE v.prediction_id = p.id AND v.name = 'tumor_ml') AS tumor_ml,
           p.started_at, p.ended_at
    FROM prediction p
    """,
)

PLAN_MEASUREMENT = View(
    "plan_measurement",
    "One row a measurement of a kidney or tumour in a plan.",
    {
        "prediction_id": "number of the prediction",
        "scan": "name of the scan",
        "structure": "kidney_left, kidney_right, kidney_fused, no_kidney (what lies beside none), tumor_1, ...; the "
        "largest tumour is number 1",
        "side": "left, right, fused, or none where no kidney lies beside it",
        "measurement": "what is measured, with its unit; plan.json defines each",
        "value": "NULL where there is none, as the distance to a cyst where there is no cyst",
    },
    """
    SELECT p.id AS prediction_id, p.scan, v.structure, v.side, v.name AS measurement, v.value
    FROM measurement v
    JOIN prediction p ON p.id = v.prediction_id
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

STALE = View(
    "stale",
    "One row a case of something that was made from files which are others by now: make that again.",
    {
        "what": "prepared_case, training_run or evaluation",
        "number": "its number",
        "dataset": "name of the dataset",
        "case_name": "name of the case whose files were replaced",
        "changed": "image or segmentation, of the source; prepared, where a training read prepared files that were "
        "made anew since",
    },
    """
    SELECT 'prepared_case' AS what, p.id AS number, d.name AS dataset, c.name AS case_name, f.kind AS changed
    FROM prepared_case p
    JOIN case_file f ON f.case_id = p.case_id AND f.superseded_at IS NULL
    JOIN "case" c ON c.id = p.case_id
    JOIN dataset d ON d.id = c.dataset_id
    WHERE (f.kind = 'image' AND f.sha256 <> p.source_image_sha256)
       OR (f.kind = 'segmentation' AND f.sha256 <> COALESCE(p.source_segmentation_sha256, ''))
    UNION ALL
    SELECT 'training_run', t.run_id, d.name, c.name,
           CASE WHEN t.image_sha256 <> p.image_sha256 OR t.label_sha256 <> p.label_sha256 THEN 'prepared'
                ELSE (SELECT MAX(f.kind) FROM case_file f
                      WHERE f.case_id = t.case_id AND f.superseded_at IS NULL
                        AND f.sha256 <> p.source_image_sha256 AND f.sha256 <> p.source_segmentation_sha256) END
    FROM trained_case t
    JOIN training_run r ON r.id = t.run_id
    JOIN prepared_case p ON p.case_id = t.case_id AND p.recipe_id = r.recipe_id
    JOIN "case" c ON c.id = t.case_id
    JOIN dataset d ON d.id = c.dataset_id
    WHERE t.image_sha256 <> p.image_sha256 OR t.label_sha256 <> p.label_sha256
       OR EXISTS (SELECT 1 FROM case_file f
                  WHERE f.case_id = t.case_id AND f.superseded_at IS NULL
                    AND f.sha256 <> p.source_image_sha256 AND f.sha256 <> p.source_segmentation_sha256)
    UNION ALL
    SELECT 'evaluation', k.evaluation_id, d.name, c.name, f.kind
    FROM scored_case k
    JOIN case_file f ON f.case_id = k.case_id AND f.superseded_at IS NULL
    JOIN "case" c ON c.id = k.case_id
    JOIN dataset d ON d.id = c.dataset_id
    WHERE (f.kind = 'image' AND f.sha256 <> k.image_sha256)
       OR (f.kind = 'segmentation' AND f.sha256 <> k.reference_sha256)
    UNION ALL
    SELECT 'evaluation', m.evaluation_id, d.name, c.name, f.kind
    FROM case_file f
    JOIN case_metric m ON m.case_id = f.case_id AND m.region = 'kidney' AND m.metric = 'dice'
    LEFT JOIN scored_case k ON k.evaluation_id = m.evaluation_id AND k.case_id = m.case_id
    JOIN "case" c ON c.id = f.case_id
    JOIN dataset d ON d.id = c.dataset_id
    WHERE f.superseded_at IS NULL AND f.version > 1 AND k.id IS NULL
    """,
)

VIEWS = (
    CASE_OVERVIEW,
    CASE_METRIC_WIDE,
    LEADERBOARD,
    WORST_CASE,
    OPEN_PROBLEM,
    LINEAGE,
    PREDICTION_OVERVIEW,
    PLAN_MEASUREMENT,
    MEASUREMENT_ERROR,
    STALE,
)


def create_views(connection: Connection) -> None:
    """Make every view."""
    for view in VIEWS:
        connection.execute(text(f"CREATE VIEW {view.name} AS {view.sql}"))


def drop_views(connection: Connection) -> None:
    """Remove every view that is there."""
    for view in reversed(VIEWS):
        connection.execute(text(f"DROP VIEW IF EXISTS {view.name}"))
